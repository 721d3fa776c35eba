package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sync/errgroup"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	typed "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

var documentBreak = regexp.MustCompile(`(?m)^---\s*$`)

// installCRDs creates every CustomResourceDefinition in the YAML files of dirs and returns when all
// of them are served. Documents of other kinds, and definitions that exist already, are left alone.
func installCRDs(ctx context.Context, config *rest.Config, dirs []string) error {
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	var found []*apiextensions.CustomResourceDefinition
	for _, dir := range dirs {
		read, err := readCRDs(dir)
		if err != nil {
			return err
		}
		found = append(found, read...)
	}
	// At once, since the API server compiles the rules of each while it creates it.
	group, ctx := errgroup.WithContext(ctx)
	for _, definition := range found {
		group.Go(func() error { return installCRD(ctx, client.ApiextensionsV1().CustomResourceDefinitions(), definition) })
	}
	return group.Wait()
}

func installCRD(
	ctx context.Context, client typed.CustomResourceDefinitionInterface, definition *apiextensions.CustomResourceDefinition,
) error {
	_, err := client.Create(ctx, definition, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	served := func(ctx context.Context) (bool, error) {
		current, err := client.Get(ctx, definition.Name, metav1.GetOptions{})
		return err == nil && established(current), err
	}
	if err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, served); err != nil {
		return fmt.Errorf("%s is not served: %w", definition.Name, err)
	}
	return nil
}

func readCRDs(dir string) ([]*apiextensions.CustomResourceDefinition, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no *.yaml", dir)
	}
	var found []*apiextensions.CustomResourceDefinition
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, document := range documentBreak.Split(string(content), -1) {
			definition := &apiextensions.CustomResourceDefinition{}
			if err := yaml.Unmarshal([]byte(document), definition); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if definition.Kind == "CustomResourceDefinition" {
				found = append(found, definition)
			}
		}
	}
	return found, nil
}

func established(definition *apiextensions.CustomResourceDefinition) bool {
	for _, condition := range definition.Status.Conditions {
		if condition.Type == apiextensions.Established && condition.Status == apiextensions.ConditionTrue {
			return true
		}
	}
	return false
}
