package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"
)

const (
	// A stop that takes longer than this leaves without goodbye: the data is going to be removed anyway.
	stopBound = 5 * time.Second
	// A start allocates much and keeps most of it; collecting meanwhile is work for nothing.
	startingGC, servingGC = 200, 100

	watchEvery = 200 * time.Millisecond
)

type serveOptions struct {
	dir      string
	keep     bool
	port     int
	crds     []string
	watchPID int
}

// ready is the line printed on stdout, and the file controlplane.json in the directory.
type ready struct {
	Ready      bool    `json:"ready"`
	Server     string  `json:"server"`
	Kubeconfig string  `json:"kubeconfig"` // of system:masters
	AuditLog   string  `json:"auditLog"`
	Etcd       string  `json:"etcd"`
	Dir        string  `json:"dir"`
	PID        int     `json:"pid"`
	Version    string  `json:"version"`
	Seconds    float64 `json:"seconds"` // from the start of the process's work until ready
}

func serve(arguments []string) error {
	var o serveOptions
	flags := pflag.NewFlagSet("controlplane serve", pflag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "", "where data, keys, kubeconfig and audit log go; a new temporary directory by default")
	flags.BoolVar(&o.keep, "keep", false, "leave the directory behind, to start from it again")
	flags.IntVar(&o.port, "port", 0, "preferred port; another is chosen where it is taken")
	flags.StringArrayVar(&o.crds, "crds", nil, "directory with CustomResourceDefinitions to install first; may be repeated")
	flags.IntVar(&o.watchPID, "watch-pid", 0, "stop when this process has ended, in whatever way")
	if err := flags.Parse(arguments); err != nil {
		return helpIsNoError(err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	go stopAfter(o.watchPID, cancel)
	// The controllers log at the default level what only their authors want to read.
	ctx = klog.NewContext(ctx, klog.Background())

	dir, err := claimDirectory(o.dir)
	if err != nil {
		return err
	}
	defer vacate(dir, o.keep)
	err = serveFrom(ctx, dir, o)
	if ctx.Err() != nil {
		return nil // told to stop, in whatever state
	}
	return err
}

// serveFrom runs until ctx ends or a part fails.
func serveFrom(ctx context.Context, dir string, o serveOptions) error {
	began := time.Now()
	debug.SetGCPercent(startingGC)
	signer, err := openAuthority(filepath.Join(dir, "pki"))
	if err != nil {
		return err
	}
	etcd, etcdURL, err := startEtcd(ctx, dir)
	if err != nil {
		return err
	}
	defer within(stopBound, etcd.Close)
	server, err := prepareAPIServer(ctx, dir, etcdURL, o.port, signer)
	if err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	serving, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- server.run(serving) }()
	defer within(stopBound, func() { stop(); <-stopped })

	line := ready{
		Ready: true, Server: server.address, Etcd: etcdURL, Dir: dir, PID: os.Getpid(), Version: version.Get().GitVersion,
		Kubeconfig: filepath.Join(dir, "kubeconfig"), AuditLog: filepath.Join(dir, "audit.log"),
	}
	announced := make(chan error, 1)
	go func() { announced <- bringUp(serving, line, signer, o.crds, began) }()
	for {
		select {
		case err := <-announced:
			if err != nil {
				return err
			}
		case err := <-stopped:
			stopped <- err // for the deferred wait
			return fmt.Errorf("kube-apiserver: %w", err)
		case <-ctx.Done():
			return nil
		}
	}
}

// bringUp writes the kubeconfig, waits, starts the controllers, installs CRDs and says so.
func bringUp(ctx context.Context, line ready, signer *authority, crds []string, began time.Time) error {
	admin, err := kubeconfig(line.Dir, line.Server, signer, "admin", []string{"system:masters"})
	if err != nil {
		return err
	}
	config, err := ownConfig(line, signer)
	if err != nil {
		return err
	}
	if err := awaitReady(ctx, config); err != nil {
		return err
	}
	if err := startControllers(ctx, config); err != nil {
		return err
	}
	if err := installCRDs(ctx, config, crds); err != nil {
		return err
	}
	debug.SetGCPercent(servingGC)
	debug.FreeOSMemory()
	line.Seconds = time.Since(began).Seconds()
	encoded, err := json.Marshal(line)
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(line.Kubeconfig, admin, 0o600),
		os.WriteFile(filepath.Join(line.Dir, stateFile), encoded, 0o644),
	)
	if err != nil {
		return err
	}
	fmt.Println(string(encoded))
	return nil
}

// ownConfig gives the controllers a name of their own, so that the audit log tells their writes from
// an administrator's.
func ownConfig(line ready, signer *authority) (*rest.Config, error) {
	encoded, err := kubeconfig(line.Dir, line.Server, signer, "system:kube-controller-manager", []string{"system:masters"})
	if err != nil {
		return nil, err
	}
	return restConfig(encoded)
}

// stopAfter calls stop once the process has ended. A parent that nobody has waited for yet still has
// its number, but is no longer our parent.
func stopAfter(pid int, stop func()) {
	child := os.Getppid() == pid
	for pid != 0 {
		if syscall.Kill(pid, 0) == syscall.ESRCH || child && os.Getppid() != pid {
			stop()
			return
		}
		time.Sleep(watchEvery)
	}
}

func within(bound time.Duration, work func()) {
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	select {
	case <-done:
	case <-time.After(bound):
	}
}
