package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// apiServer is a kube-apiserver that is configured and has its port, but does not run yet.
type apiServer struct {
	address string // https://host:port
	options options.CompletedOptions
}

// prepareAPIServer binds the port here and hands the open listener over, so that nobody can take
// the port between choosing and using it. A preferred port that is taken gives way to a free one.
func prepareAPIServer(ctx context.Context, dir, etcdURL string, preferredPort int, signer *authority) (*apiServer, error) {
	if err := writeServerFiles(dir, signer); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", preferredPort))
	if err != nil && preferredPort != 0 {
		fmt.Fprintf(os.Stderr, "controlplane: port %d is taken, choosing another (%v)\n", preferredPort, err)
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	unset := options.NewServerRunOptions()
	unset.SecureServing.Listener = listener
	unset.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	unset.SecureServing.ExternalAddress = net.IPv4(127, 0, 0, 1)
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range unset.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(apiServerFlags(dir, etcdURL)); err != nil {
		return nil, err
	}
	if err := unset.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, err
	}
	completed, err := unset.Complete(ctx)
	if err != nil {
		return nil, err
	}
	if problems := completed.Validate(); len(problems) > 0 {
		return nil, utilerrors.NewAggregate(problems)
	}
	return &apiServer{"https://" + listener.Addr().String(), completed}, nil
}

// run serves until ctx ends.
func (s *apiServer) run(ctx context.Context) error { return app.Run(ctx, s.options) }

func apiServerFlags(dir, etcdURL string) []string {
	pki := func(name string) string { return filepath.Join(dir, "pki", name) }
	return []string{
		"--etcd-servers=" + etcdURL,
		"--tls-cert-file=" + pki("server.crt"), "--tls-private-key-file=" + pki("server.key"),
		"--client-ca-file=" + pki("ca.crt"),
		"--authorization-mode=RBAC", "--anonymous-auth=false",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + pki("service-account.key"),
		"--service-account-key-file=" + pki("service-account.key"),
		"--service-cluster-ip-range=10.0.0.0/16",
		"--audit-log-path=" + filepath.Join(dir, "audit.log"),
		"--audit-policy-file=" + filepath.Join(dir, "audit-policy.yaml"),
		// Nothing outside of this machine is to reach it, and loopback can't be an endpoint.
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		// Without it a stop waits a minute for idle clients to hang up.
		"--shutdown-send-retry-after=true",
	}
}

func writeServerFiles(dir string, signer *authority) error {
	serving, err := signer.server()
	if err != nil {
		return err
	}
	keyFile := filepath.Join(dir, "pki", "service-account.key")
	if _, err := os.Stat(keyFile); errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if err := writeKey(keyFile, key); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "pki", "server.crt"), serving.certificate, 0o644),
		os.WriteFile(filepath.Join(dir, "pki", "server.key"), serving.key, 0o600),
		os.WriteFile(filepath.Join(dir, "audit-policy.yaml"), auditPolicy, 0o644),
	)
}

// awaitReady returns once /readyz is ok and namespace default exists.
func awaitReady(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ready := func(ctx context.Context) (bool, error) {
		for _, path := range []string{"/readyz", "/api/v1/namespaces/default"} {
			if client.RESTClient().Get().AbsPath(path).Do(ctx).Error() != nil {
				return false, nil
			}
		}
		return true, nil
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 2*time.Minute, true, ready)
}
