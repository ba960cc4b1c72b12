package emulator

import (
	"maps"
	"time"
)

// The answers' structs have the members of the real service's, in so far as they
// are not empty there for functions such as these.

type functionConfiguration struct {
	Architectures    []string
	CodeSha256       string
	CodeSize         int64
	Description      string
	Environment      *environment `json:",omitempty"`
	EphemeralStorage ephemeralStorage
	FunctionArn      string
	FunctionName     string
	Handler          string
	LastModified     string
	LastUpdateStatus string `json:",omitempty"`
	LoggingConfig    loggingConfig
	MemorySize       int64
	PackageType      string
	RevisionID       string `json:"RevisionId"`
	Role             string
	Runtime          string
	SnapStart        snapStart
	State            string         `json:",omitempty"`
	StateReason      string         `json:",omitempty"`
	StateReasonCode  string         `json:",omitempty"`
	TenancyConfig    *tenancyConfig `json:",omitempty"`
	Timeout          int64
	TracingConfig    tracingConfig
	Version          string
	VpcConfig        *vpcAnswer `json:",omitempty"`
}

type snapStart struct{ ApplyOn, OptimizationStatus string }

type tracingConfig struct{ Mode string }

type vpcAnswer struct {
	vpcConfig
	VpcID string `json:"VpcId"`
}

// describe is a function as most operations answer with it. The caller holds
// e.mu.
func (fn *function) describe() functionConfiguration {
	c := fn.list()
	c.State = "Active"
	switch {
	case fn.pending:
		c.State, c.StateReasonCode, c.StateReason = "Pending", "Creating", "The function is being created."
	case fn.coming != nil:
		c.LastUpdateStatus = "InProgress"
	default:
		c.LastUpdateStatus = "Successful"
	}
	return c
}

// list is a function as a listing has it: without its state.
func (fn *function) list() functionConfiguration { return fn.as(fn.latest()) }

// as is a function as it would be under a definition.
func (fn *function) as(def *definition) functionConfiguration {
	c := functionConfiguration{
		Architectures:    []string{def.architecture},
		CodeSha256:       def.code.sha256(),
		CodeSize:         def.code.size,
		Description:      def.description,
		EphemeralStorage: ephemeralStorage{def.ephemeral},
		FunctionArn:      functionARN(fn.name),
		FunctionName:     fn.name,
		Handler:          def.handler,
		LastModified:     def.modified.UTC().Format("2006-01-02T15:04:05.000-0700"),
		LoggingConfig:    def.logging,
		MemorySize:       def.memory >> 20,
		PackageType:      "Zip",
		RevisionID:       fn.revision,
		Role:             def.role,
		Runtime:          def.runtime,
		SnapStart:        snapStart{"None", "Off"},
		Timeout:          int64((def.timeout + time.Second - 1) / time.Second),
		TracingConfig:    tracingConfig{"PassThrough"},
		Version:          version,
	}
	if len(def.env) > 0 {
		c.Environment = &environment{def.env}
	}
	if fn.perTenant {
		c.TenancyConfig = &tenancyConfig{perTenant}
	}
	if len(def.vpc.SubnetIds) > 0 {
		c.VpcConfig = &vpcAnswer{def.vpc, "vpc-0a0a0a0a0a0a0a0a0"}
	}
	return c
}

func (e *Emulator) getFunction(r request) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.find(r)
	if f != nil {
		return nil, f
	}
	type location struct{ RepositoryType string }
	out := struct {
		Code          location
		Concurrency   *concurrency `json:",omitempty"`
		Configuration functionConfiguration
		Tags          map[string]string `json:",omitempty"`
	}{Code: location{"S3"}, Configuration: fn.describe(), Tags: maps.Clone(fn.tags)}
	if fn.reserved != nil {
		out.Concurrency = &concurrency{fn.reserved}
	}
	return out, nil
}

func (e *Emulator) getFunctionConfiguration(r request) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.find(r)
	if f != nil {
		return nil, f
	}
	return fn.describe(), nil
}
