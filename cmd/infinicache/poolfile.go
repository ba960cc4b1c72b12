package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/infinicache/infinicache/internal/deploy"
	deployknative "github.com/infinicache/infinicache/internal/deploy/knative"
	deploylambda "github.com/infinicache/infinicache/internal/deploy/lambda"
	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/knative"
	"github.com/infinicache/infinicache/internal/platform/lambda"
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/wire"
)

// driver runs sessions on a platform, and holds connections until Close.
type driver interface {
	platform.Driver
	Close() error
}

// deployment is what a pool file tells the proxy of its pool.
type deployment struct {
	functions
	shape     object.Shape // of the file; placement.Auto, too, if it has none
	tariff    string       // name of the price list that counts there
	advertise string       // where instances dial the proxy; may be empty
	direct    bool         // the proxy dials instances
	keep      keeping

	// connect makes the driver. endpoint is another than the platform's own; it may
	// be empty.
	connect func(ctx context.Context, price platform.Price, endpoint string) (driver, error)
}

// keeping is how a proxy keeps the instances of a platform that freezes none.
type keeping struct {
	warmEvery time.Duration // 0: never
	hold      bool          // sessions last as long as they may
}

// readDeployment reads a pool file.
func readDeployment(path string) (*deployment, error) {
	text, err := deploy.ReadFile(path)
	if err != nil {
		return nil, err
	}
	name, err := deploy.PlatformOf(text)
	if err != nil {
		return nil, err
	}
	switch name {
	case deploylambda.Platform:
		pool, err := deploylambda.Load(text)
		if err != nil {
			return nil, err
		}
		return onLambda(pool).shaped(pool.Shape), nil
	case deployknative.Platform:
		pool, err := deployknative.Decode(text)
		if err != nil {
			return nil, err
		}
		return onKnative(pool).shaped(pool.Shape), nil
	}
	return nil, fmt.Errorf("platform: %q given, %s or %s allowed", name, deploylambda.Platform, deployknative.Platform)
}

// shaped takes the shape of a pool file that is checked.
func (d *deployment) shaped(text string) *deployment {
	d.shape, _ = placement.ParseShape(text)
	return d
}

func onLambda(pool deploylambda.Pool) *deployment {
	d := &deployment{
		functions: functions{nodes: pool.Nodes, memory: int64(pool.Memory), prefix: pool.Prefix, notice: emulator.DefaultNotice},
		tariff:    "lambda", advertise: pool.Proxy,
		keep: keeping{warmEvery: time.Minute},
	}
	if pool.Architecture == deploylambda.ARM64 {
		d.tariff = "lambda-arm"
	}
	d.connect = func(ctx context.Context, price platform.Price, endpoint string) (driver, error) {
		cfg := lambda.Config{
			Prefix: pool.Prefix, Tenants: pool.Tenants, Timeout: pool.Timeout, Memory: int64(pool.Memory),
			Reserved: pool.Concurrency, Sessions: pool.Sessions, Notice: d.notice, Price: price,
		}
		if endpoint != "" {
			cfg.AWS = lambda.Local(endpoint)
			return lambda.New(cfg)
		}
		var options []func(*awsconfig.LoadOptions) error
		if pool.Region != "" {
			options = append(options, awsconfig.WithRegion(pool.Region))
		}
		var err error
		if cfg.AWS, err = awsconfig.LoadDefaultConfig(ctx, options...); err != nil {
			return nil, fmt.Errorf("configuration of the AWS SDK: %w", err)
		}
		return lambda.New(cfg)
	}
	return d
}

const (
	// sessionMargin is what a session on Knative ends before its revision's timeout.
	sessionMargin = 5 * time.Second
	// maxPause is the longest time between two sessions that hold a pod.
	maxPause = 15 * time.Second
)

func onKnative(pool *deployknative.Pool) *deployment {
	d := &deployment{
		functions: functions{nodes: pool.Nodes, memory: int64(pool.Memory), prefix: pool.Prefix, notice: pool.Notice()},
		tariff:    "own-cluster", direct: pool.Links == deployknative.Direct,
	}
	if pool.CloudRun != nil {
		d.tariff = "cloud-run"
	}
	window := pool.Window.Duration
	switch pool.Keep {
	case deployknative.Hold:
		d.keep = keeping{warmEvery: min(max(window/4, time.Second), maxPause), hold: true}
	case deployknative.Warm:
		d.keep.warmEvery = window / 3
	case deployknative.Retain:
		d.keep.warmEvery = pool.Retention.Duration / 3
	}
	d.connect = func(_ context.Context, price platform.Price, _ string) (driver, error) {
		return knative.New(knative.Config{
			Host:    pool.Prefix + "%d." + pool.Namespace + ".svc." + pool.ClusterDomain,
			Gateway: pool.Gateway, Audience: pool.Audience(), Metadata: os.Getenv("GCE_METADATA_HOST"), // as Google's own libraries have it
			Session: max(pool.Timeout.Duration-sessionMargin, time.Second),
			Memory:  int64(pool.Memory), Notice: d.notice, Price: price, Instances: podsOf(pool),
		})
	}
	return d
}

// podsOf asks the cluster's DNS for the addresses of all pods of a pool; nil
// where they have none.
func podsOf(pool *deployknative.Pool) func(context.Context) ([]netip.AddrPort, error) {
	if pool.CloudRun != nil {
		return nil
	}
	return func(ctx context.Context) ([]netip.AddrPort, error) {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", pool.InstancesHost())
		all := make([]netip.AddrPort, len(addrs))
		for i, addr := range addrs {
			all[i] = netip.AddrPortFrom(addr.Unmap(), deployknative.InstancePort)
		}
		return all, err
	}
}

// declarePool declares the flag of the pool file, which says what other flags would.
func (c *systemConfig) declarePool(f *flags, p *proxyConfig) {
	var path string
	f.cmd.Flags().StringVar(&path, "pool", "", "`FILE` that describes the deployed pool, instead of --nodes, --memory, --prefix and --notice")
	f.together(func() {
		if path == "" {
			return
		}
		changed := f.cmd.Flags().Changed
		for _, flag := range []string{"nodes", "memory", "prefix", "notice"} {
			if changed(flag) {
				f.complain("--%s: given with --pool, whose file says it", flag)
			}
		}
		d, err := readDeployment(path)
		if err != nil {
			f.complain("--pool %s: %w", path, err)
			return
		}
		c.functions, p.deployed = d.functions, d
		if !changed("shape") {
			p.shape = d.shape
		}
		if !changed("platform") {
			p.platform = ""
		}
		if !changed("advertise") && d.advertise != "" {
			p.advertise = d.advertise
		}
		if !changed("price") {
			p.price, _ = pricing.TariffOf(d.tariff)
		}
		if !changed("warm-every") {
			p.warmEvery = d.keep.warmEvery
		}
		if p.hold = d.keep.hold; p.hold && !changed("linger") {
			p.linger = pricing.Fixed(wire.MaxLinger)
		}
	})
}
