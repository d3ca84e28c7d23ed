{{- define "pmig.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* 50: helpers' names, such as "-helper", have to fit behind it. */}}
{{- define "pmig.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "pmig.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "pmig.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of what belongs to no namespace: releases of one name in two namespaces must not share it. */}}
{{- define "pmig.clusterName" -}}
{{- printf "%s.%s" (include "pmig.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "pmig.selector" -}}
app.kubernetes.io/name: {{ include "pmig.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pmig.labels" -}}
{{ include "pmig.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "pmig.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "pmig.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "pmig.fullname" .) -}}
{{- end -}}

{{- define "pmig.helperServiceAccount" -}}
{{- if .Values.helper.serviceAccount -}}
{{- .Values.helper.serviceAccount -}}
{{- else if .Values.clusterWide -}}
default
{{- else -}}
{{- include "pmig.fullname" . }}-helper
{{- end -}}
{{- end -}}

{{/* 17=image,18=image */}}
{{- define "pmig.postgresImages" -}}
{{- $named := list -}}
{{- range $major, $image := .Values.helper.postgresImages -}}
{{- $named = append $named (printf "%s=%s" $major $image) -}}
{{- end -}}
{{- join "," $named -}}
{{- end -}}

{{/* The watched namespaces, separated by commas; empty when it is all of them. */}}
{{- define "pmig.namespaces" -}}
{{- if not .Values.clusterWide -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | uniq | join "," -}}
{{- end -}}
{{- end -}}
