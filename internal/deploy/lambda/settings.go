package lambda

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/infinicache/infinicache/internal/deploy"
)

// settings are what a deployment decides of a function.
type settings struct {
	code         string // hash of the archive
	architecture string

	memory  int32 // MiB
	timeout int32 // seconds
	runtime, handler, role,
	logGroup, logFormat, logLevel string
	subnets, securityGroups []string // sorted

	concurrency int // reserved; zero is none
	tags        map[string]string
	tenants     bool
}

// wanted are the settings that the pool's functions are to have.
func (p *Pool) wanted(code string) settings {
	s := settings{
		code: code, architecture: p.Architecture,
		memory: int32(p.Memory >> 20), timeout: int32(p.Timeout / time.Second),
		runtime: string(types.RuntimeProvidedal2023), handler: bootstrap, role: p.Role,
		logGroup: p.logGroup(), logFormat: string(types.LogFormatText),
		subnets: slices.Sorted(slices.Values(p.VPC.Subnets)), securityGroups: slices.Sorted(slices.Values(p.VPC.SecurityGroups)),
		concurrency: p.reserved(), tenants: p.Tenants,
		tags: map[string]string{poolTag: p.Prefix},
	}
	if p.LogLevel != "" {
		s.logFormat, s.logLevel = string(types.LogFormatJson), p.LogLevel
	}
	maps.Copy(s.tags, p.Tags)
	return s
}

// function is one that exists.
type function struct {
	place
	settings
	arn         string
	state       types.State
	lastUpdate  types.LastUpdateStatus
	stateReason string // of a state that is not Active, or of an update that failed
	codeSize    int64  // bytes
}

// closed stands for a reserved concurrency of zero, with which the platform
// refuses every invocation.
const closed = -1

// readFunction reads what the platform tells of a function.
func readFunction(at place, c *types.FunctionConfiguration, tags map[string]string, reserved *types.Concurrency) function {
	f := function{
		place: at, arn: aws.ToString(c.FunctionArn), state: c.State, lastUpdate: c.LastUpdateStatus,
		stateReason: aws.ToString(c.StateReason), codeSize: c.CodeSize,
	}
	if c.LastUpdateStatus == types.LastUpdateStatusFailed {
		f.stateReason = aws.ToString(c.LastUpdateStatusReason)
	}
	f.settings = settings{
		code: aws.ToString(c.CodeSha256), architecture: X8664,
		memory: aws.ToInt32(c.MemorySize), timeout: aws.ToInt32(c.Timeout),
		runtime: string(c.Runtime), handler: aws.ToString(c.Handler), role: aws.ToString(c.Role),
		logGroup: "/aws/lambda/" + at.function, logFormat: string(types.LogFormatText),
		tags: tags, tenants: c.TenancyConfig != nil && c.TenancyConfig.TenantIsolationMode == types.TenantIsolationModePerTenant,
	}
	if len(c.Architectures) > 0 {
		f.architecture = string(c.Architectures[0])
	}
	if l := c.LoggingConfig; l != nil {
		f.logFormat, f.logLevel = string(l.LogFormat), string(l.SystemLogLevel)
		if l.LogGroup != nil {
			f.logGroup = *l.LogGroup
		}
	}
	if v := c.VpcConfig; v != nil {
		f.subnets, f.securityGroups = slices.Sorted(slices.Values(v.SubnetIds)), slices.Sorted(slices.Values(v.SecurityGroupIds))
	}
	if reserved != nil && reserved.ReservedConcurrentExecutions != nil {
		if f.concurrency = int(*reserved.ReservedConcurrentExecutions); f.concurrency == 0 {
			f.concurrency = closed
		}
	}
	return f
}

// owner is the prefix of the pool that owns the function; empty if none does.
func (f *function) owner() string { return f.tags[poolTag] }

// changing tells whether the platform is not done with what was asked of it.
func (f *function) changing() bool {
	return f.state == types.StatePending || f.lastUpdate == types.LastUpdateStatusInProgress
}

// difference is what has to be done to give a function other settings.
type difference struct {
	code, configuration, concurrency bool
	tags                             map[string]string // to be set; nil if none
	fields                           []deploy.Field
}

// retires tells whether the platform ends a function's instances because of it.
func (d *difference) retires() bool { return d.code || d.configuration }

// none tells whether nothing has to be done.
func (d *difference) none() bool { return len(d.fields) == 0 }

// compare tells what separates what is from what is wanted. Tags that are not
// wanted are somebody's, and stay.
func compare(have, want settings) difference {
	var d difference
	differs := func(name, from, to string) bool {
		if from == to {
			return false
		}
		d.fields = append(d.fields, deploy.Field{Name: name, From: or(from, "none"), To: or(to, "none")})
		return true
	}
	code := []bool{
		differs("code", short(have.code), short(want.code)),
		differs("architecture", have.architecture, want.architecture),
	}
	configuration := []bool{
		differs("memory", mebibytes(have.memory), mebibytes(want.memory)),
		differs("timeout", seconds(have.timeout), seconds(want.timeout)),
		differs("runtime", have.runtime, want.runtime),
		differs("handler", have.handler, want.handler),
		differs("role", have.role, want.role),
		differs("log group", have.logGroup, want.logGroup),
		differs("log format", have.logFormat, want.logFormat),
		differs("log level", have.logLevel, want.logLevel),
		differs("subnets", strings.Join(have.subnets, ", "), strings.Join(want.subnets, ", ")),
		differs("security groups", strings.Join(have.securityGroups, ", "), strings.Join(want.securityGroups, ", ")),
	}
	d.code, d.configuration = slices.Contains(code, true), slices.Contains(configuration, true)
	d.concurrency = differs("concurrency", concurrency(have.concurrency), concurrency(want.concurrency))
	for _, key := range slices.Sorted(maps.Keys(want.tags)) {
		if differs("tag "+key, have.tags[key], want.tags[key]) {
			if d.tags == nil {
				d.tags = map[string]string{}
			}
			d.tags[key] = want.tags[key]
		}
	}
	return d
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// short is enough of a hash to tell two apart.
func short(hash string) string { return hash[:min(len(hash), 12)] }

func mebibytes(n int32) string { return fmt.Sprintf("%dMiB", n) }
func seconds(n int32) string   { return fmt.Sprintf("%ds", n) }

func concurrency(n int) string {
	switch n {
	case 0:
		return ""
	case closed:
		return "0, which refuses every invocation"
	}
	return strconv.Itoa(n)
}
