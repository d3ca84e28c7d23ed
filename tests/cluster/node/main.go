// One program that holds every component of a Kubernetes node.
//
// The components are linked together, instead of being installed one by one,
// because the Go module proxy is the one place that has all of them for a
// machine without a container engine; and because they share most of their
// code, so that one program takes a fifth of the room and of the build time.
//
// The first argument picks the component, and what follows is its own command
// line; a link to the program that bears a component's name does the same:
//
//	node kube-apiserver --etcd-servers=…
//	ln -s node kubectl; ./kubectl get pods
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // CronJobs with a time zone, on a machine without tzdata

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Constructors and not commands: making a command registers its flags, and
// those of two components would clash.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": manager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 func() *cobra.Command { return kubectl.NewDefaultKubectlCommand() },
	"provisioner":             newProvisionerCommand,
}

func main() {
	// Each component reads os.Args itself (kubectl looks for plugins in it,
	// CoreDNS parses it), so its name stands where the program's stood.
	name := filepath.Base(os.Args[0])
	if !known(name) && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	switch {
	case name == "coredns":
		serveNames()
	case name == "kubectl":
		// Its errors are for people: printed as they are, without a log line.
		if err := cli.RunNoErrOutput(components[name]()); err != nil {
			cmdutil.CheckErr(err)
		}
	case known(name):
		os.Exit(cli.Run(components[name]()))
	default:
		fmt.Fprintln(os.Stderr, "usage: node COMPONENT ARGUMENTS…, with one of these components:")
		fmt.Fprintln(os.Stderr, " coredns", strings.Join(slices.Sorted(maps.Keys(components)), " "))
		os.Exit(2)
	}
}

func known(name string) bool {
	_, found := components[name]
	return found || name == "coredns"
}

// serveNames runs CoreDNS. The order of the directives is the order in which a
// question passes the plugins: "template" comes last, where it denies whatever
// is no name of the cluster, at once, instead of leaving it without an answer.
// There is no cache: every answer comes from memory, and a test that made a
// Service must not wait for a stale denial to expire.
func serveNames() {
	dnsserver.Directives = []string{"errors", "ready", "kubernetes", "template"}
	coremain.Run()
}
