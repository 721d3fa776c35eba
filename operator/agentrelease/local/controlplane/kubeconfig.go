package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const contextName = "agentrelease-local"

// user prints a kubeconfig for one user of a running control plane.
func user(arguments []string) error {
	flags := pflag.NewFlagSet("controlplane user", pflag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the running control plane")
	name := flags.String("name", "", "user name, as RBAC and admission see it")
	groups := flags.StringArray("group", nil, "a group of the user; may be repeated")
	if err := flags.Parse(arguments); err != nil {
		return helpIsNoError(err)
	}
	if *dir == "" || *name == "" {
		return errors.New("user needs --dir and --name")
	}
	var running ready
	state, err := os.ReadFile(filepath.Join(*dir, stateFile))
	if err != nil || json.Unmarshal(state, &running) != nil || !running.Ready {
		return fmt.Errorf("no control plane serves from %s", *dir)
	}
	signer, err := openAuthority(filepath.Join(*dir, "pki"))
	if err != nil {
		return err
	}
	encoded, err := kubeconfig(*dir, running.Server, signer, *name, *groups)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(encoded)
	return err
}

// kubeconfig is self-contained: it names no other file.
func kubeconfig(dir, server string, signer *authority, name string, groups []string) ([]byte, error) {
	ca, err := os.ReadFile(filepath.Join(dir, "pki", "ca.crt"))
	if err != nil {
		return nil, err
	}
	credentials, err := signer.client(name, groups)
	if err != nil {
		return nil, err
	}
	config := api.NewConfig()
	config.CurrentContext = contextName
	config.Clusters[contextName] = &api.Cluster{Server: server, CertificateAuthorityData: ca}
	config.Contexts[contextName] = &api.Context{Cluster: contextName, AuthInfo: name, Namespace: "default"}
	config.AuthInfos[name] = &api.AuthInfo{
		ClientCertificateData: credentials.certificate, ClientKeyData: credentials.key,
	}
	return clientcmd.Write(*config)
}

// restConfig is what one of our own controllers uses: no client-side rate limit, since the API
// server's priority and fairness is the limit that a cluster has.
func restConfig(encoded []byte) (*rest.Config, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(encoded)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return config, nil
}

func helpIsNoError(err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return nil
	}
	return err
}
