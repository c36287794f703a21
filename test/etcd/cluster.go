package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// Config says what is started. The zero value of what is optional is good.
type Config struct {
	Dir     string
	Port    int // see the command's flag; 0: whatever is free
	Members int
	// start this one of them alone, counted from 1, the others being elsewhere; 0: all. Port must be given
	Only    int
	Host    string // the address that they serve at; empty: the loopback
	Verbose bool
	TLS     *transport.TLSInfo // for clients; nil: none
	// Progress is how often a watch to which nothing happens is told how far it is; 0: a second.
	Progress time.Duration
}

// Cluster is members that serve.
type Cluster struct {
	Endpoints []string
	Members   []*embed.Etcd
}

// Start returns when all members serve.
func Start(c Config) (*Cluster, error) {
	places, err := c.places()
	if err != nil {
		return nil, err
	}
	var peers []string
	for i := range c.Members {
		peers = append(peers, fmt.Sprintf("m%d=%s", i, places[2*i+1].String()))
	}
	cluster := &Cluster{}
	for i := range c.Members {
		if c.Only != 0 && i != c.Only-1 {
			continue
		}
		e := embed.NewConfig()
		e.Name = fmt.Sprintf("m%d", i)
		e.Dir = filepath.Join(c.Dir, e.Name)
		client, peer := places[2*i], places[2*i+1]
		e.ListenClientUrls, e.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		e.ListenPeerUrls, e.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		if c.TLS != nil {
			e.ClientTLSInfo, e.ListenClientUrls[0].Scheme, e.AdvertiseClientUrls[0].Scheme = *c.TLS, "https", "https"
		}
		e.InitialCluster = strings.Join(peers, ",")
		e.WatchProgressNotifyInterval = cmp.Or(c.Progress, time.Second)
		e.Logger, e.LogLevel = "zap", "error"
		if c.Verbose {
			e.LogLevel = "info"
		}
		m, err := embed.StartEtcd(e)
		if err != nil {
			cluster.Close()
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		cluster.Members = append(cluster.Members, m)
		cluster.Endpoints = append(cluster.Endpoints, e.ListenClientUrls[0].String())
	}
	late := time.After(time.Minute)
	for _, m := range cluster.Members {
		select {
		case <-m.Server.ReadyNotify():
		case err := <-m.Err():
			cluster.Close()
			return nil, err
		case <-late:
			cluster.Close()
			return nil, errors.New("the members do not become ready")
		}
	}
	return cluster, nil
}

// places returns where the members serve, and after each of these where its peers find it.
func (c Config) places() (all []url.URL, err error) {
	host := c.Host
	if host == "" {
		host = "127.0.0.1"
	}
	for i := range 2 * c.Members {
		port := c.Port + i
		if c.Port == 0 {
			l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				return nil, err
			}
			defer l.Close() // when all are found, or one is found twice
			port = l.Addr().(*net.TCPAddr).Port
		}
		all = append(all, url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(port))})
	}
	return all, nil
}

// Failed tells when a member has failed.
func (c *Cluster) Failed() <-chan error { return c.Members[0].Err() }

// Close ends the members. Their data stays.
func (c *Cluster) Close() {
	for _, m := range c.Members {
		m.Close()
	}
}
