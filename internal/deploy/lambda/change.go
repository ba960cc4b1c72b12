package lambda

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/infinicache/infinicache/internal/deploy"
)

// settlePatience is how long the platform may take over one change: in a VPC it
// makes network interfaces, which takes minutes.
const settlePatience = 10 * time.Minute

// make makes one change and returns when the platform is done with it.
func (d *Deployer) make(ctx context.Context, s step) error {
	doing := fmt.Sprintf("%s %s %s", s.Action, s.Kind, s.Name)
	err := d.attempt(ctx, s)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	return failure(doing, err)
}

func (d *Deployer) attempt(ctx context.Context, s step) error {
	want := d.cfg.Pool.wanted("")
	switch {
	case s.Kind == kindLogGroup:
		return d.keepLogs(ctx, s)
	case s.Action == deploy.Create:
		return d.create(ctx, s.place, want)
	case s.Action == deploy.Delete:
		return d.delete(ctx, s.place)
	case s.replace:
		if err := d.delete(ctx, s.place); err != nil {
			return err
		}
		return d.create(ctx, s.place, want)
	}
	return d.update(ctx, s, want)
}

// create makes a function. One that is there already is taken for what an earlier
// attempt left, if it has the pool's tag.
func (d *Deployer) create(ctx context.Context, at place, want settings) error {
	in := &lambda.CreateFunctionInput{
		FunctionName:  aws.String(at.function),
		Description:   aws.String(describe(at)),
		Code:          &types.FunctionCode{ZipFile: d.cfg.Archive.zip},
		PackageType:   types.PackageTypeZip,
		Architectures: []types.Architecture{types.Architecture(want.architecture)},
		Runtime:       types.Runtime(want.runtime),
		Handler:       aws.String(want.handler),
		Role:          aws.String(want.role),
		MemorySize:    aws.Int32(want.memory),
		Timeout:       aws.Int32(want.timeout),
		LoggingConfig: want.logging(),
		Tags:          want.tags,
	}
	if len(want.subnets) > 0 {
		in.VpcConfig = want.vpc()
	}
	if want.tenants {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	}
	_, err := d.lambda.CreateFunction(ctx, in)
	if err != nil && !exists(err) {
		return err
	}
	f, err := d.settle(ctx, at)
	if err != nil {
		return err
	}
	if err := d.owned(f); err != nil {
		return err
	}
	return d.reserve(ctx, at, f.concurrency, want.concurrency)
}

// owned refuses a function that is not the pool's, or no more so.
func (d *Deployer) owned(f function) error {
	if f.owner() == d.cfg.Pool.Prefix {
		return nil
	}
	return &Error{
		Kind: Clash, Doing: "change function " + f.function, Mend: "choose another prefix, or see whose it is",
		Err: errors.New("it is somebody else's since a moment ago"),
	}
}

func describe(at place) string {
	if at.node == allNodes {
		return "InfiniCache, all nodes"
	}
	return fmt.Sprintf("InfiniCache, node %d", at.node)
}

// update gives a function the settings that differ.
func (d *Deployer) update(ctx context.Context, s step, want settings) error {
	name := aws.String(s.function)
	f, err := d.settle(ctx, s.place) // somebody's change, or an interrupted one of ours
	var failed *Error
	if err != nil && !(errors.As(err, &failed) && failed.Kind == Failed) {
		return err
	}
	if err := d.owned(f); err != nil {
		return err
	}
	if s.tags != nil {
		if _, err := d.lambda.TagResource(ctx, &lambda.TagResourceInput{Resource: aws.String(f.arn), Tags: s.tags}); err != nil {
			return err
		}
	}
	if s.configuration {
		_, err := d.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
			FunctionName: name, Runtime: types.Runtime(want.runtime), Handler: aws.String(want.handler), Role: aws.String(want.role),
			MemorySize: aws.Int32(want.memory), Timeout: aws.Int32(want.timeout), LoggingConfig: want.logging(), VpcConfig: want.vpc(),
		})
		if err != nil {
			return err
		}
		if _, err := d.settle(ctx, s.place); err != nil {
			return err
		}
	}
	if s.code {
		_, err := d.lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
			FunctionName: name, ZipFile: d.cfg.Archive.zip, Architectures: []types.Architecture{types.Architecture(want.architecture)},
		})
		if err != nil {
			return err
		}
		if _, err := d.settle(ctx, s.place); err != nil {
			return err
		}
	}
	if s.concurrency {
		return d.reserve(ctx, s.place, closed, want.concurrency)
	}
	return nil
}

// delete deletes a function, if it is still the pool's. One that is gone is fine.
func (d *Deployer) delete(ctx context.Context, at place) error {
	f, err := d.get(ctx, at)
	if err == nil {
		err = d.owned(f)
	}
	if err == nil {
		_, err = d.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(at.function)})
	}
	if code(err) == "ResourceNotFoundException" {
		return nil
	}
	return err
}

// reserve gives a function its own share of the account's concurrency.
func (d *Deployer) reserve(ctx context.Context, at place, have, want int) (err error) {
	switch {
	case have == want:
	case want == 0:
		_, err = d.lambda.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: aws.String(at.function)})
	default:
		_, err = d.lambda.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{
			FunctionName: aws.String(at.function), ReservedConcurrentExecutions: aws.Int32(int32(want)),
		})
	}
	return err
}

// settle waits until the platform is done with what was asked of a function. The
// error is of kind Failed if it could not do it.
func (d *Deployer) settle(ctx context.Context, at place) (function, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settlePatience, fmt.Errorf("not done after %v", settlePatience))
	defer cancel()
	for {
		f, err := d.get(ctx, at)
		switch {
		case err != nil:
			return f, err
		case f.state == types.StateFailed, f.lastUpdate == types.LastUpdateStatusFailed:
			return f, &Error{Kind: Failed, Doing: "change function " + at.function, Mend: mends[Failed], Err: errors.New(or(f.stateReason, "no reason given"))}
		case !f.changing():
			return f, nil
		}
		if err := sleep(ctx, d.tempo.poll); err != nil {
			return f, err
		}
	}
}

// keepLogs makes the log group, if need be, and sets how long its logs are kept.
func (d *Deployer) keepLogs(ctx context.Context, s step) error {
	name := aws.String(d.cfg.Pool.logGroup())
	if s.Action == deploy.Create {
		_, err := d.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{
			LogGroupName: name, Tags: map[string]string{poolTag: d.cfg.Pool.Prefix},
		})
		if err != nil && !exists(err) {
			return err
		}
	}
	_, err := d.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{
		LogGroupName: name, RetentionInDays: aws.Int32(s.retention),
	})
	return err
}

func (s *settings) logging() *types.LoggingConfig {
	return &types.LoggingConfig{
		LogGroup: aws.String(s.logGroup), LogFormat: types.LogFormat(s.logFormat), SystemLogLevel: types.SystemLogLevel(s.logLevel),
	}
}

// vpc asks for the subnets and security groups; without any, for none.
func (s *settings) vpc() *types.VpcConfig {
	return &types.VpcConfig{SubnetIds: list(s.subnets), SecurityGroupIds: list(s.securityGroups)}
}

// list is never nil, which the SDK would leave out.
func list(all []string) []string {
	if all == nil {
		return []string{}
	}
	return all
}
