package main

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd serves etcd from dir on a loopback port that the kernel chooses, and returns its URL.
// Data survives a stop of this process, but not a power cut: nothing is fsynced, since what it holds
// is worth less than the seconds.
func startEtcd(ctx context.Context, dir string) (*embed.Etcd, string, error) {
	config := embed.NewConfig()
	config.Name = "controlplane"
	config.Dir = filepath.Join(dir, "etcd")
	config.UnsafeNoFsync = true
	// A stop is logged as four errors; what matters comes out of Err().
	config.LogLevel = "fatal"
	// One member has nobody to wait for in an election.
	config.TickMs, config.ElectionMs = 20, 200
	config.AutoCompactionMode = "periodic"
	config.AutoCompactionRetention = "10m"
	loopback := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenClientUrls, config.AdvertiseClientUrls = loopback, loopback
	config.ListenPeerUrls, config.AdvertisePeerUrls = loopback, loopback
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, "", fmt.Errorf("etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, "http://" + server.Clients[0].Addr().String(), nil
	case err := <-server.Err():
		return nil, "", fmt.Errorf("etcd: %w", err)
	case <-ctx.Done():
		server.Close()
		return nil, "", ctx.Err()
	}
}
