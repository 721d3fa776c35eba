package main

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
)

const (
	workers = 5
	resync  = 10 * time.Minute
	// How long a new kind may stay unknown to the garbage collector. kube-controller-manager looks
	// every 30 s; here CRDs are made and used within one test.
	newKindsSeenWithin = 2 * time.Second
)

// machinery is what every controller is built from.
type machinery struct {
	client    kubernetes.Interface
	metadata  metadata.Interface
	informers informers.SharedInformerFactory
}

// startControllers builds the controllers one by one, because importing all of
// kube-controller-manager adds some 300 packages to the build.
func startControllers(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	parts := machinery{client, metadataClient, informers.NewSharedInformerFactory(client, resync)}
	starts := []func(context.Context, machinery) (func(), error){
		startNamespaces, startServiceAccounts, startReplicaSets, startDeployments, startJobs, startRoleAggregation,
	}
	var running []func()
	for _, start := range starts {
		run, err := start(ctx, parts)
		if err != nil {
			return fmt.Errorf("controllers: %w", err)
		}
		running = append(running, run)
	}
	collect, err := startGarbageCollector(ctx, parts)
	if err != nil {
		return fmt.Errorf("garbage collector: %w", err)
	}
	parts.informers.Start(ctx.Done())
	for _, run := range append(running, collect) {
		go run()
	}
	return nil
}

func startNamespaces(ctx context.Context, m machinery) (func(), error) {
	controller := namespace.NewNamespaceController(
		ctx, m.client, m.metadata, m.client.Discovery().ServerPreferredNamespacedResources,
		m.informers.Core().V1().Namespaces(), resync, v1.FinalizerKubernetes,
	)
	return func() { controller.Run(ctx, workers) }, nil
}

func startServiceAccounts(ctx context.Context, m machinery) (func(), error) {
	core := m.informers.Core().V1()
	controller, err := serviceaccount.NewServiceAccountsController(
		klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), m.client,
		serviceaccount.DefaultServiceAccountsControllerOptions(),
	)
	return func() { controller.Run(ctx, workers) }, err
}

func startReplicaSets(ctx context.Context, m machinery) (func(), error) {
	controller := replicaset.NewReplicaSetController(
		ctx, m.informers.Apps().V1().ReplicaSets(), m.informers.Core().V1().Pods(), m.client, replicaset.BurstReplicas,
	)
	return func() { controller.Run(ctx, workers) }, nil
}

func startDeployments(ctx context.Context, m machinery) (func(), error) {
	apps := m.informers.Apps().V1()
	controller, err := deployment.NewDeploymentController(
		ctx, apps.Deployments(), apps.ReplicaSets(), m.informers.Core().V1().Pods(), m.client,
	)
	return func() { controller.Run(ctx, workers) }, err
}

func startJobs(ctx context.Context, m machinery) (func(), error) {
	// The last two informers belong to gang scheduling, which is off by default and needs a scheduler.
	controller, err := job.NewController(
		ctx, m.client, m.informers.Core().V1().Pods(), m.informers.Batch().V1().Jobs(), nil, nil,
	)
	return func() { controller.Run(ctx, workers) }, err
}

// startRoleAggregation fills admin, edit and view from the roles that charts aggregate to them.
func startRoleAggregation(ctx context.Context, m machinery) (func(), error) {
	controller := clusterroleaggregation.NewClusterRoleAggregation(m.informers.Rbac().V1().ClusterRoles(), m.client.RbacV1())
	return func() { controller.Run(ctx, workers) }, nil
}

func startGarbageCollector(ctx context.Context, m machinery) (func(), error) {
	started := make(chan struct{})
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(m.client.Discovery()))
	ignored := map[schema.GroupResource]struct{}{}
	for resource := range garbagecollector.DefaultIgnoredResources() {
		ignored[resource] = struct{}{}
	}
	everything := informerfactory.NewInformerFactory(
		m.informers, metadatainformer.NewSharedInformerFactory(m.metadata, resync),
	)
	collector, err := garbagecollector.NewGarbageCollector(ctx, m.client, m.metadata, mapper, ignored, everything, started)
	if err != nil {
		return nil, err
	}
	return func() {
		close(started)
		go collector.Sync(ctx, m.client.Discovery(), newKindsSeenWithin)
		collector.Run(ctx, workers, newKindsSeenWithin)
	}, nil
}
