package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisioner makes a folder for each claim.
//
// Kubernetes has a provisioner of its own for such tests, but its folders are
// for root alone, whatever the pod asks for, and lie below the machine's /tmp.
// Here the storage class chooses between the two manners that real clusters have:
//
//	shared: "true"   anybody may write, fsGroup changes nothing (kind, k3s, most NFS)
//	shared: "false"  the folder is root's until a pod asks for an fsGroup (disks)
type provisioner struct {
	root string // where the folders lie
	node string // the one node that has them
}

const provisionerName = "project-migration.test/folder"

func newProvisionerCommand() *cobra.Command {
	var folders provisioner
	var kubeconfig string
	command := &cobra.Command{
		Use:  "provisioner",
		RunE: func(command *cobra.Command, _ []string) error { return folders.serve(command.Context(), kubeconfig) },
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&folders.root, "root", "", "where the folders of the claims go")
	command.Flags().StringVar(&folders.node, "node", "", "the name of this node")
	return command
}

func (p *provisioner) serve(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller.NewProvisionController(ctx, client, provisionerName, p, controller.LeaderElection(false)).Run(ctx)
	return nil
}

// Provision is called again for the same claim after a crash, hence MkdirAll.
func (p *provisioner) Provision(_ context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	claim := options.PVC
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return nil, controller.ProvisioningFinished, fmt.Errorf("a folder is no block device")
	}
	shared, err := strconv.ParseBool(options.StorageClass.Parameters["shared"])
	if err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("the class's parameter shared: %w", err)
	}
	path := filepath.Join(p.root, options.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	source := corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}}
	if shared {
		// Not by MkdirAll, which would apply the mask of this process.
		if err := os.Chmod(path, 0o777); err != nil {
			return nil, controller.ProvisioningFinished, err
		}
		source = corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeSource:        source,
			NodeAffinity:                  p.affinity(),
		},
	}, controller.ProvisioningFinished, nil
}

// affinity is required of volumes of the kind "local".
func (p *provisioner) affinity() *corev1.VolumeNodeAffinity {
	here := corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{p.node}}
	terms := []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{here}}}
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: terms}}
}

// Delete removes the data with the volume.
func (p *provisioner) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	return os.RemoveAll(filepath.Join(p.root, volume.Name))
}
