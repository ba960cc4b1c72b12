package lambda

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"golang.org/x/sync/errgroup"
)

// workers is how many functions are read or changed at the same time, where that
// costs the cache nothing.
const workers = 8

// observe reads what exists of the pool.
func (d *Deployer) observe(ctx context.Context) (observed, error) {
	if err := d.credentials(ctx); err != nil {
		return observed{}, err
	}
	places, err := d.list(ctx)
	if err != nil {
		return observed{}, err
	}
	if len(places) > 0 {
		d.cfg.Progress(0, 0, fmt.Sprintf("reading %d functions", len(places)))
	}
	var have observed
	var mu sync.Mutex
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, at := range places {
		group.Go(func() error {
			f, err := d.get(within, at)
			switch {
			case code(err) == "ResourceNotFoundException": // gone since
				return nil
			case err != nil:
				return failure("read function "+at.function, err)
			}
			mu.Lock()
			defer mu.Unlock()
			have.functions = append(have.functions, f)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return observed{}, err
	}
	slices.SortFunc(have.functions, func(a, b function) int { return a.node - b.node })
	have.logs, err = d.readLogGroup(ctx)
	return have, err
}

// credentials tells what is wrong with the credentials, which the platform's
// answers do not tell from other trouble.
func (d *Deployer) credentials(ctx context.Context) error {
	if _, err := d.cfg.AWS.Credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &Error{Kind: Credentials, Mend: mends[Credentials], Err: err}
	}
	return nil
}

// list finds the functions whose names could be the pool's.
func (d *Deployer) list(ctx context.Context) ([]place, error) {
	var all []place
	pages := lambda.NewListFunctionsPaginator(d.lambda, &lambda.ListFunctionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, failure("list functions", err)
		}
		for _, c := range page.Functions {
			if at, ok := d.cfg.Pool.placeOf(aws.ToString(c.FunctionName)); ok {
				all = append(all, at)
			}
		}
	}
	return all, nil
}

// get reads one function. Its error is the SDK's.
func (d *Deployer) get(ctx context.Context, at place) (function, error) {
	out, err := d.lambda.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(at.function)})
	if err != nil {
		return function{}, err
	}
	if out.Configuration == nil {
		return function{}, errors.New("no configuration in the answer")
	}
	if e := out.TagsError; e != nil {
		// Without its tags nobody knows whose the function is.
		return function{}, &Error{
			Kind: Denied, Doing: "read tags of function " + at.function, Action: "lambda:ListTags", Mend: mends[Denied],
			Err: &answer{aws.ToString(e.ErrorCode), aws.ToString(e.Message), nil},
		}
	}
	return readFunction(at, out.Configuration, out.Tags, out.Concurrency), nil
}

// readLogGroup reads the pool's log group; nil if nothing is to be done about it.
func (d *Deployer) readLogGroup(ctx context.Context) (*logGroup, error) {
	if d.cfg.Pool.LogRetentionDays == 0 {
		return nil, nil
	}
	name := d.cfg.Pool.logGroup()
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(d.logs, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String(name)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, failure("read log group "+name, err)
		}
		for _, g := range page.LogGroups {
			if aws.ToString(g.LogGroupName) == name {
				return &logGroup{exists: true, retention: aws.ToInt32(g.RetentionInDays)}, nil
			}
		}
	}
	return &logGroup{}, nil
}
