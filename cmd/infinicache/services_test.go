package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/platform/knative/miniature"
)

// services are nodes that run as HTTP services, and a proxy over them.
type services struct {
	platform *miniature.Platform
	proxy    *daemon
	client   *infinicache.Client
	door     *admin.Client
}

// startServices starts a proxy with a pool file over a miniature platform. More
// lines of the file, and flags of the proxy, may follow.
func startServices(t *testing.T, nodes int, more string, flags ...string) *services {
	t.Helper()
	return startServicesBehind(t, nil, nodes, more, flags...)
}

// startServicesBehind is startServices with something before the platform's gateway.
func startServicesBehind(t *testing.T, front func(http.Handler) http.Handler, nodes int, more string, flags ...string) *services {
	t.Helper()
	dir := t.TempDir()
	s := &services{}
	s.platform = miniature.Start(t, miniature.Config{
		Host: "cache-%d.default.svc.cluster.local", Services: nodes, Binary: filepath.Join(bin, "infinicache-node"),
		Env:   []string{"INFINICACHE_LINKS=127.0.0.1:0", "INFINICACHE_MEMORY=128MiB", "INFINICACHE_NOTICE=1m"},
		Drain: time.Second, Grace: time.Minute, Front: front,
	})
	pool := filepath.Join(dir, "pool.yaml")
	text := fmt.Sprintf("platform: knative\nprefix: cache-\nnodes: %d\nmemory: 128MiB\nimage: nobody/needs:it\nproxyImage: nobody/needs:it\ngateway: %s\n%s",
		nodes, s.platform.URL(), more)
	if err := os.WriteFile(pool, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	s.proxy, err = newDaemon(filepath.Join(dir, "log"), append([]string{
		"proxy", "--pool", pool, "--key-file", filepath.Join(dir, "key"), "--journal", filepath.Join(dir, "journal"),
		"--client", "127.0.0.1:0", "--redis", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--links", "127.0.0.1:0",
	}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.proxy.cmd.Process.Kill()
		<-s.proxy.ended
		if t.Failed() {
			t.Logf("log of the proxy:\n%s", s.proxy.logged())
		}
	})
	if s.client, err = infinicache.New(infinicache.Config{Proxies: []string{s.proxy.at["client"]}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	s.door = admin.NewClient(s.proxy.at["admin"])
	t.Cleanup(s.door.Close)
	return s
}

func contentOf(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func TestNodesAsHTTPServices(t *testing.T) {
	for _, tt := range []struct {
		name, more string
		flags      []string
	}{
		{"dialled by the proxy, over TLS", "links: direct\nkeep: hold\n", nil},
		{"dialled by the proxy", "links: direct\nkeep: min-scale\n", []string{"--tls", "off"}},
		{"dialling the proxy, over TLS", "links: dial\nkeep: warm\n", []string{"--tls", "on"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServices(t, 6, tt.more, tt.flags...)
			want := contentOf(1, 5<<20)
			if _, err := s.client.PutBytes(t.Context(), "k", want); err != nil {
				t.Fatal(err)
			}
			if got, err := s.client.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("get: %v, equal %v", err, bytes.Equal(got, want))
			}
			if n := s.platform.Starts(); n != 6 {
				t.Errorf("%d processes were started for 6 nodes", n)
			}
			s.platform.Kill(2)
			if got, err := s.client.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("get without node 2: %v, equal %v", err, bytes.Equal(got, want))
			}
		})
	}
}

// Nodes that take a permission to invoke are invoked as the service account of the
// proxy's machine; who else that may be is told what is missing.
func TestServicesThatLetOnlyTheProxyIn(t *testing.T) {
	const account = "proxy@my-project.iam.gserviceaccount.com"
	front := func(services http.Handler) http.Handler {
		return miniature.Front("https://cache.default.svc.cluster.local", account, services)
	}
	for _, tt := range []struct{ name, account, tokens, says string }{
		{"with the role", account, "metadata", ""},
		{"of another account", "nobody@my-project.iam.gserviceaccount.com", "metadata", "roles/run.invoker"},
		{"without an account", "", "metadata", "has a service account"},
		{"without tokens", account, "none", "no identity token was sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			metadata := httptest.NewServer(&miniature.Authority{Account: tt.account})
			defer metadata.Close()
			t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(metadata.URL, "http://"))
			more := fmt.Sprintf("links: dial\nkeep: warm\ncloudRun: {network: default, tokens: %s}\n", tt.tokens)
			s := startServicesBehind(t, front, 6, more, "--shape", "2+1", "--log-level", "debug")
			want := contentOf(1, 1<<20)
			_, err := s.client.PutBytes(t.Context(), "k", want)
			if (err == nil) != (tt.says == "") {
				t.Errorf("put: %v", err)
			}
			if err == nil {
				if got, err := s.client.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
					t.Errorf("get: %v, equal %v", err, bytes.Equal(got, want))
				}
			}
			if log := s.proxy.logged(); !strings.Contains(log, tt.says) || strings.Contains(log, "eyJ") {
				t.Errorf("the log says nothing of %q, or a token", tt.says)
			}
		})
	}
}

// All pods are replaced, one after the other, each with the notice that Knative
// gives, while clients read and write.
func TestServicesAreReplacedUnderLoad(t *testing.T) {
	s := startServices(t, 8, "links: direct\nkeep: hold\n")
	ctx, stop := context.WithCancel(t.Context())
	objects := map[string][]byte{}
	for i := range 12 {
		key := fmt.Sprint("k", i)
		objects[key] = contentOf(uint64(i), 1<<20+i)
		if _, err := s.client.PutBytes(ctx, key, objects[key]); err != nil {
			t.Fatal(err)
		}
	}
	var load sync.WaitGroup
	var reads, writes, failed atomic.Int64
	load.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprint("k", i%12)
			got, err := s.client.GetBytes(ctx, key)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				failed.Add(1)
				t.Logf("get %s: %v", key, err)
			case !bytes.Equal(got, objects[key]):
				t.Errorf("get %s: wrong bytes", key)
			}
			reads.Add(1)
		}
	})
	load.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := s.client.PutBytes(ctx, fmt.Sprint("new", i%5), contentOf(uint64(100+i), 300<<10)); err != nil && ctx.Err() == nil {
				failed.Add(1)
				t.Logf("put: %v", err)
			}
			writes.Add(1)
		}
	})
	for node := range 8 {
		if ended := s.platform.Delete(node); ended != nil {
			<-ended
		}
	}
	stop()
	load.Wait()
	for key, want := range objects {
		if got, err := s.client.GetBytes(t.Context(), key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s after all pods were replaced: %v, equal %v", key, err, bytes.Equal(got, want))
		}
	}
	st, err := s.door.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Faults.Notices < 8 || st.Faults.LostObjects > 0 || st.Traffic.UnexplainedMisses > 0 {
		t.Errorf("notices %d, lost objects %d, unexplained misses %d", st.Faults.Notices, st.Faults.LostObjects, st.Traffic.UnexplainedMisses)
	}
	if failed.Load() > 0 {
		t.Errorf("%d of %d reads and %d writes failed", failed.Load(), reads.Load(), writes.Load())
	}
	t.Logf("%d reads and %d writes, %d chunks moved, %d processes", reads.Load(), writes.Load(), st.Faults.MovedChunks, s.platform.Starts())
}
