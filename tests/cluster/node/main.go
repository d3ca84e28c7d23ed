// One program that holds every component of a Kubernetes node.
//
// The components are linked together, instead of being installed one by one,
// because the Go module proxy is the one place that has all of them for a
// machine without a container engine; and because they share most of their
// code, so that one program takes a fifth of the room and of the build time.
//
// The first argument picks the component; what follows is its own command line:
//
//	node kube-apiserver --etcd-servers=…
//	node kubectl get pods
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	_ "time/tzdata" // CronJobs with a time zone, on a machine without tzdata

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
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
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	name := os.Args[1]
	// Each component reads os.Args itself (kubectl looks for plugins in it,
	// CoreDNS parses it), so the component's name takes the program's place.
	os.Args = slices.Delete(os.Args, 0, 1)
	if name == "coredns" {
		serveNames()
		return
	}
	command, known := components[name]
	if !known {
		usage()
	}
	if name == "kubectl" {
		// Its errors are for people: printed as they are, without a log line.
		if err := cli.RunNoErrOutput(command()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(cli.Run(command()))
}

// serveNames runs CoreDNS. The order of the directives is the order in which a
// question passes the plugins; CoreDNS generates it for all of its plugins,
// and refuses to start when one in the list is not linked in.
func serveNames() {
	dnsserver.Directives = []string{"errors", "ready", "cache", "template", "kubernetes"}
	coremain.Run()
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: node COMPONENT ARGUMENTS…; the components:")
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range components {
			if !yield(name) {
				return
			}
		}
	}) {
		fmt.Fprintln(os.Stderr, "  "+name)
	}
	fmt.Fprintln(os.Stderr, "  coredns")
	os.Exit(2)
}
