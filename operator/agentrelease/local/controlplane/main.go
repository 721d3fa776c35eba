// Command controlplane is a real Kubernetes control plane for one machine: etcd, kube-apiserver and
// the few controllers that a rollout needs, in one process, on loopback, in a directory of its own.
//
//	controlplane serve   start it; one JSON line on stdout says that it is ready and where
//	controlplane user    print a kubeconfig for any user name and groups (a client certificate)
//	controlplane kubectl the real kubectl; also under the name kubectl
//
// There is no kubelet and no scheduler: pods are objects until something binds and runs them.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const usage = "usage: controlplane serve|user|kubectl [arguments]; each knows --help"

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" {
		kubectl()
		return
	}
	if len(os.Args) < 2 {
		exit(fmt.Errorf("%s", usage))
	}
	command, arguments := os.Args[1], os.Args[2:]
	switch command {
	case "serve":
		exit(serve(arguments))
	case "user":
		exit(user(arguments))
	case "kubectl":
		// kubectl reads os.Args itself, to find its plugins.
		os.Args = append([]string{"kubectl"}, arguments...)
		kubectl()
	default:
		exit(fmt.Errorf("unknown command %q\n%s", command, usage))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
