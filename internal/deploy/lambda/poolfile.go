// Package lambda deploys a pool to AWS Lambda, or to whatever speaks its
// management API at another endpoint URL: it plans what differs between a pool
// file and what exists, applies that without losing more of the cache than it was
// told to, and says what is wrong with a deployment and how to mend it.
//
// What it deploys it marks with a tag, and it never touches what lacks that tag.
package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/infinicache/infinicache/internal/bytesize"
	"github.com/infinicache/infinicache/internal/deploy"
	platform "github.com/infinicache/infinicache/internal/platform/lambda"
)

// Platform is this platform's name in a pool file.
const Platform = "lambda"

// MaxNodes is the most nodes of one pool.
const MaxNodes = 4096

const (
	minMemory = 128 << 20
	maxMemory = 10240 << 20

	// maxPrefix leaves room in a function's name of 64 characters.
	maxPrefix = 54

	maxConcurrency    = 1000
	maxSessions       = 1_000_000
	maxSubnets        = 16
	maxSecurityGroups = 5
	maxTags           = 49 // of a resource's 50, one is this package's
)

// Architectures that functions run on, as the platform names them.
const (
	ARM64 = "arm64"
	X8664 = "x86_64"
)

// Pool is a pool file for this platform. Load makes one that is checked.
type Pool struct {
	deploy.Pool
	Architecture string `json:"architecture"` // ARM64 or X8664
	Region       string `json:"region"`       // empty means the SDK's usual way to find one
	Role         string `json:"role"`         // ARN of the functions' execution role
	// Timeout bounds one session, 1 s to 15 min, whole seconds. In the file it is
	// a text like 900s.
	Timeout time.Duration `json:"timeout"`
	// Concurrency is how many instances of a node may run at the same time, and
	// are reserved. Zero reserves none.
	Concurrency int `json:"concurrency"`
	// Sessions is how many sessions the proxy may have run at once, over all nodes.
	// Zero bounds nothing.
	Sessions int `json:"sessions"`
	// Tenants asks for one function in tenant-isolation mode instead of one for
	// each node.
	Tenants bool              `json:"tenants"`
	VPC     VPC               `json:"vpc"`
	Tags    map[string]string `json:"tags"`
	// LogRetentionDays is how long logs are kept; zero leaves that as it is.
	LogRetentionDays int `json:"logRetentionDays"`
	// LogLevel turns the platform's own log lines to JSON and leaves out those
	// below it: DEBUG, INFO or WARN. Empty means all of them, as text.
	LogLevel string `json:"logLevel"`
	// Proxy is the address, host:port, at which instances will find their proxy.
	// Only Check uses it.
	Proxy string `json:"proxy"`
}

// VPC is a network of the operator's that functions are attached to. Empty means
// none.
type VPC struct {
	Subnets        []string `json:"subnets"`
	SecurityGroups []string `json:"securityGroups"`
}

// attached tells whether functions are in a VPC.
func (v VPC) attached() bool { return len(v.Subnets) > 0 }

// retentions are the days that the log service allows.
var retentions = []int{
	1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}

var (
	prefixForm        = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	roleForm          = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]+$`)
	regionForm        = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
	subnetForm        = regexp.MustCompile(`^subnet-[0-9a-z]+$`)
	securityGroupForm = regexp.MustCompile(`^sg-[0-9a-z]+$`)
	tagForm           = regexp.MustCompile(`^[\pL\pZ\pN_.:/=+\-@]*$`)
)

// Load reads a pool file and fills in what it leaves out. The error has every
// complaint.
func Load(text []byte) (Pool, error) {
	var f struct {
		Pool
		Timeout json.RawMessage `json:"timeout"` // a text, which Pool's is not
	}
	f.Architecture, f.Concurrency, f.Pool.Timeout = ARM64, 2, platform.MaxTimeout
	wrong, err := deploy.Decode(text, &f, deploy.Strict)
	if err != nil {
		return Pool{}, err
	}
	var c complaints
	for _, fault := range wrong {
		c.take(fault.Field, fault)
	}
	p := f.Pool
	if f.Timeout != nil {
		var given string
		p.Timeout = 0
		if json.Unmarshal(f.Timeout, &given) == nil {
			p.Timeout, _ = time.ParseDuration(given)
		}
		if p.Timeout == 0 {
			c.add("timeout", "%s given, a duration like 900s allowed", f.Timeout)
		}
	}
	p.check(&c)
	if err := errors.Join(c.errs...); err != nil {
		return Pool{}, err
	}
	return p, nil
}

// complaints are about a pool file. A field is complained about once.
type complaints struct {
	errs   []error
	fields map[string]bool
}

func (c *complaints) add(field, format string, args ...any) {
	c.take(field, fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...)))
}

func (c *complaints) take(field string, err error) {
	if c.fields[field] {
		return
	}
	if c.fields == nil {
		c.fields = map[string]bool{}
	}
	c.fields[field] = true
	c.errs = append(c.errs, err)
}

// check complains about every field that is out of bounds.
func (p *Pool) check(c *complaints) {
	if p.Platform != Platform {
		c.add("platform", "%q given, %s allowed", p.Platform, Platform)
	}
	switch {
	case len(p.Prefix) > maxPrefix || !prefixForm.MatchString(p.Prefix):
		c.add("prefix", "%q given, 1 to %d letters, digits, - and _ allowed", p.Prefix, maxPrefix)
	case platform.TenantFunction(p.Prefix) == "":
		c.add("prefix", "%q given, one that has more than - and _ allowed", p.Prefix)
	}
	if p.Nodes < 1 || p.Nodes > MaxNodes {
		c.add("nodes", "%d given, 1 to %d allowed", p.Nodes, MaxNodes)
	}
	p.CheckShape(func(field, given, allowed string) { c.add(field, "%q given, %s allowed", given, allowed) })
	if p.Memory < minMemory || p.Memory > maxMemory || p.Memory%(1<<20) != 0 {
		c.add("memory", "%v given, whole MiB from %s to %s allowed", p.Memory, bytesize.Format(minMemory), bytesize.Format(maxMemory))
	}
	if p.Architecture != ARM64 && p.Architecture != X8664 {
		c.add("architecture", "%q given, %s or %s allowed", p.Architecture, ARM64, X8664)
	}
	if p.Region != "" && !regionForm.MatchString(p.Region) {
		c.add("region", "%q given, one like eu-central-1 allowed", p.Region)
	}
	if !roleForm.MatchString(p.Role) {
		c.add("role", "%q given, one like arn:aws:iam::123456789012:role/NAME allowed", p.Role)
	}
	if p.Timeout < time.Second || p.Timeout > platform.MaxTimeout || p.Timeout%time.Second != 0 {
		c.add("timeout", "%v given, whole seconds from 1s to %.0fs allowed", p.Timeout, platform.MaxTimeout.Seconds())
	}
	if p.Concurrency < 0 || p.Concurrency > maxConcurrency {
		c.add("concurrency", "%d given, 0 to %d allowed", p.Concurrency, maxConcurrency)
	}
	if p.Sessions < 0 || p.Sessions > maxSessions {
		c.add("sessions", "%d given, 0 (no bound) to %d allowed", p.Sessions, maxSessions)
	}
	p.VPC.check(c)
	checkTags(p.Tags, c)
	if p.LogRetentionDays != 0 && !slices.Contains(retentions, p.LogRetentionDays) {
		c.add("logRetentionDays", "%d given, 0 or one of %s allowed", p.LogRetentionDays, join(retentions, strconv.Itoa))
	}
	if !slices.Contains([]string{"", "DEBUG", "INFO", "WARN"}, p.LogLevel) {
		c.add("logLevel", "%q given, DEBUG, INFO or WARN allowed", p.LogLevel)
	}
	if p.Proxy != "" {
		host, port, err := net.SplitHostPort(p.Proxy)
		if n, err2 := strconv.ParseUint(port, 10, 16); err != nil || err2 != nil || n == 0 || host == "" {
			c.add("proxy", "%q given, host:port allowed", p.Proxy)
		}
	}
}

func (v VPC) check(c *complaints) {
	if (len(v.Subnets) == 0) != (len(v.SecurityGroups) == 0) {
		c.add("vpc", "%d subnets and %d security groups given, both or neither allowed", len(v.Subnets), len(v.SecurityGroups))
	}
	checkIDs("vpc.subnets", v.Subnets, subnetForm, maxSubnets, "subnet-0123456789abcdef0", c)
	checkIDs("vpc.securityGroups", v.SecurityGroups, securityGroupForm, maxSecurityGroups, "sg-0123456789abcdef0", c)
}

func checkIDs(field string, ids []string, form *regexp.Regexp, most int, example string, c *complaints) {
	if len(ids) > most {
		c.add(field, "%d given, at most %d allowed", len(ids), most)
	}
	for i, id := range ids {
		if !form.MatchString(id) {
			c.add(fmt.Sprintf("%s[%d]", field, i), "%q given, one like %s allowed", id, example)
		} else if slices.Contains(ids[:i], id) {
			c.add(fmt.Sprintf("%s[%d]", field, i), "%q given twice", id)
		}
	}
}

func checkTags(tags map[string]string, c *complaints) {
	if len(tags) > maxTags {
		c.add("tags", "%d given, at most %d allowed", len(tags), maxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		field := "tags." + key
		switch {
		case key == "" || len([]rune(key)) > 128 || !tagForm.MatchString(key):
			c.add(field, "a key of %d characters given, 1 to 128 letters, digits, spaces and any of _.:/=+-@ allowed", len([]rune(key)))
		case strings.HasPrefix(strings.ToLower(key), "aws:"), strings.HasPrefix(key, tagPrefix):
			c.add(field, "keys that begin with aws: or %s are taken", tagPrefix)
		case len([]rune(value)) > 256 || !tagForm.MatchString(value):
			c.add(field, "%.40q given, at most 256 letters, digits, spaces and any of _.:/=+-@ allowed", value)
		}
	}
}

// join writes a list for people.
func join[T any](list []T, format func(T) string) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = format(x)
	}
	return strings.Join(texts, ", ")
}
