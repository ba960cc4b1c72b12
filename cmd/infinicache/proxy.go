package main

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/pricing"
)

const defaultLinks = "127.0.0.1:6376"

// proxyConfig describes a proxy and its doors.
type proxyConfig struct {
	shape     object.Shape
	client    string // addresses to listen at
	redis     string
	links     string
	advertise string // where instances dial; empty: where links listen
	linger    pricing.Policy
	price     pricing.Tariff

	warmEvery, backupEvery time.Duration // 0: never
	limits                 pool.Limits
	hold                   bool // see pool.Config

	platform string      // URL of the Invoke API; empty: that of deployed, or the embedded platform of this process
	deployed *deployment // by a pool file; nil without
	tls      string      // of node links: auto, on or off
	keyFile  string      // empty: a key for as long as this process lives
	sealing  string      // file of the key by which doors encrypt; empty: they do not
	journal  string      // directory; empty: nothing is kept
	every    bool        // additions are waited for, too
	adopt    bool        // what nodes hold, without a usable journal
}

func defaultProxy() proxyConfig {
	return proxyConfig{
		client: defaultClient, redis: defaultRedis, links: "127.0.0.1:0",
		linger: pricing.Fixed(500 * time.Millisecond), price: pricing.Tariffs()[0],
		warmEvery: time.Minute, backupEvery: 5 * time.Minute, tls: tlsAuto,
	}
}

// declare declares the flags; fn are the functions whose price --linger is
// checked by.
func (c *proxyConfig) declare(f *flags, fn *functions) {
	add(f, &c.shape, "shape", shape(), "data+parity chunks of every object, or auto for what suits each size")
	add(f, &c.client, "client", address(), "where the client library and this command's put and get connect")
	add(f, &c.redis, "redis", address(), "where Redis clients connect")
	add(f, &c.linger, "linger", lingering(), "how long a node stays awake after its last request: a time, paper, break-even, or break-even:DOLLARS")
	add(f, &c.price, "price", tariff(), "whose prices count: "+tariff().allowed)
	add(f, &c.warmEvery, "warm-every", interval(time.Second, 24*time.Hour), "how often idle nodes that hold something are woken so that the platform keeps their instances; 0 for never")
	add(f, &c.backupEvery, "backup-every", interval(time.Second, 24*time.Hour), "how often what is new on a node is copied to a second instance of it; 0 for never")
	add(f, &c.limits.InvocationsPerSecond, "max-invocations", real(0, math.Inf(1), false), "sessions that may begin per second in the long run (default: no limit)")
	add(f, &c.limits.DollarsPerHour, "max-dollars", real(0, math.Inf(1), false), "what sessions may cost in an hour, by --price (default: no limit)")
	f.cmd.Flags().StringVar(&c.sealing, encryptionFlag, "", "`FILE` with the key, of 32 bytes, by which Redis values are encrypted for nodes, made if it is missing (default: they are not)")
	f.together(func() {
		if chunks := c.shape.Data + c.shape.Parity; fn.nodes < chunks {
			f.complain("--shape: %s given with %d nodes, which needs %d", placement.FormatShape(c.shape), fn.nodes, chunks)
		}
		if _, err := c.linger.On(c.price.Plan(fn.memory), fn.memory); err != nil {
			f.complain("--linger: %v given with --price %s: %w", c.linger, c.price.Name, err)
		}
	})
}

// declareApart declares the flags of a proxy whose platform is elsewhere.
func (c *proxyConfig) declareApart(f *flags) {
	add(f, &c.platform, "platform", endpoint(), "where the function platform's Invoke API is")
	add(f, &c.links, "links", address(), "where instances connect; a fixed port, so that they find a restarted proxy")
	add(f, &c.tls, "tls", choice(tlsAuto, tlsOn, tlsOff), "whether node links are TLS; auto: where they leave the machine")
	add(f, &c.advertise, "advertise", dialable(), "the address of --links as instances see it (default: the same)")
	f.cmd.Flags().StringVar(&c.keyFile, "key-file", "", "`FILE` with the pool's secret, made if it is missing; beside it FILE.epoch")
	f.cmd.Flags().StringVar(&c.journal, "journal", "", "`DIR` of what a restarted proxy must know (default: it forgets all objects)")
	f.cmd.Flags().BoolVar(&c.every, "journal-every", false, "have first versions of a key in the journal, too, before they are acknowledged: a crash then costs none")
	f.cmd.Flags().BoolVar(&c.adopt, "adopt", false, "without a usable journal take over what nodes hold, though deleted objects may come back")
	f.together(func() {
		if host, _, _ := net.SplitHostPort(c.links); !c.direct() && c.advertise == "" && (host == "" || net.ParseIP(host).IsUnspecified()) {
			f.complain("--advertise: none given, with --links %s an address that instances can dial is needed", c.links)
		}
		if c.keyFile == "" {
			f.complain("--key-file: none given, a file is needed that outlives the proxy")
		}
	})
}

func newProxy(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Run a proxy over a function platform",
		Long: `Run a proxy in the foreground with its doors, over the functions of a platform
that runs elsewhere, such as one of "infinicache platform". When it serves it
prints one line on standard output,

    ready client=ADDR redis=ADDR admin=ADDR links=ADDR

and logs to standard error. Ctrl-C ends the doors, then the proxy; the platform's
instances live on. --pool names the file by which the pool was deployed (see
"infinicache deploy"); without it --nodes, --memory, --prefix and --notice say what
is deployed at --platform, and must agree with it. On AWS Lambda credentials and
region are found as by any program that uses its SDK.

Instances connect to --links, or, where the platform allows it and the pool file says
so, the proxy to them. --tls has these links be TLS; each side knows the other by a
key that it was told of with the invocation.

Instances prove who they are by a secret made from the pool's, which is in
--key-file; whoever can read that file can pose as a node. In FILE.epoch is the
number of the latest reign over the pool, so that each start has a higher one.

With --journal a proxy that is started again, after whatever end, serves what its
nodes still hold. What was deleted or replaced stays so. If the journal is lost or
damaged the nodes drop what they hold; with --adopt it is taken over instead, and
what was deleted or replaced last may come back.

The platform takes instances that were idle for long: --warm-every keeps them by
short sessions. --backup-every has two instances of each node, so that one of them
may go. --max-invocations and --max-dollars limit what all sessions cost; when a
limit forbids one, its node stays asleep, reads that cannot do without it are
misses, and writes that need it are refused. Nodes that are awake go on serving.`,
		Example: `  infinicache proxy --key-file /var/lib/infinicache/pool.key --journal /var/lib/infinicache
  infinicache proxy --key-file pool.key --platform http://10.0.0.7:9377 --nodes 40 \
      --links 0.0.0.0:6376 --advertise 10.0.0.5:6376
  infinicache proxy --key-file pool.key --journal . --pool pool.yaml --links 0.0.0.0:6376 --advertise 10.0.0.5:6376`,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	c := systemConfig{functions: defaultFunctions(), servingConfig: defaultServing()}
	p := defaultProxy()
	p.platform, p.links = "http://"+defaultInvoke, defaultLinks
	c.functions.declare(f, 1)
	c.declarePrefix(f)
	c.declarePool(f, &p)
	p.declare(f, &c.functions)
	p.declareApart(f)
	c.servingConfig.declare(f)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c.proxy = &p
		return serve(cmd.Context(), c, con)
	}
	return cmd
}

// endpoint is the URL of an API: scheme and host, and perhaps a port.
func endpoint() kind[string] {
	return kind[string]{
		"URL", "http://HOST:PORT or https://HOST",
		func(s string) (string, bool) {
			u, err := url.Parse(s)
			ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
				u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
			return strings.TrimSuffix(s, "/"), ok
		},
		func(s string) string { return s },
	}
}

// dialable is an address that others can dial.
func dialable() kind[string] {
	k := address()
	listen := k.parse
	k.allowed = "HOST:PORT"
	k.parse = func(s string) (string, bool) {
		at, ok := listen(s)
		host, port, _ := net.SplitHostPort(s)
		return at, ok && host != "" && port != "0" && !net.ParseIP(host).IsUnspecified()
	}
	return k
}

// reachable is where instances dial; empty if they do not.
func (c *proxyConfig) reachable(links net.Listener) string {
	switch {
	case links == nil:
		return ""
	case c.advertise != "":
		return c.advertise
	}
	return fmt.Sprint(links.Addr())
}

// direct tells whether the proxy dials instances, and not they it.
func (c *proxyConfig) direct() bool { return c.deployed != nil && c.deployed.direct }

// Values of --tls.
const (
	tlsAuto = "auto"
	tlsOn   = "on"
	tlsOff  = "off"
)

// secured tells whether node links are TLS.
func (c *proxyConfig) secured() bool {
	host, _, _ := net.SplitHostPort(c.links)
	return c.tls == tlsOn || c.tls == tlsAuto && (c.direct() || !net.ParseIP(host).IsLoopback())
}
