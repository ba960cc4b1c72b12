package emulator

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

func TestLogGroups(t *testing.T) {
	e, c := emptyPlatform(t, Control{Faults: []Fault{{Operation: "DeleteLogGroup", Call: 1, Status: 400, Type: "OperationAbortedException", Message: "again"}}})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	logs := cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: region, BaseEndpoint: aws.String(e.URL()), HTTPClient: &http.Client{Transport: transport},
		Retryer: aws.NopRetryer{}, Credentials: c.Options().Credentials,
	}, func(o *cloudwatchlogs.Options) { o.Protocol = modelled{o.Protocol, t} })
	ctx := t.Context()

	create := func(name string) error {
		_, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(name)})
		return err
	}
	for i := range 60 {
		if err := create(fmt.Sprintf("/aws/lambda/node-%02d", i)); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "second creation", create("/aws/lambda/node-00"), "ResourceAlreadyExistsException", "already exists")
	refused(t, "bad name", create("no spaces"), "InvalidParameterException", "logGroupName")
	retain := func(name string, days int32) error {
		_, err := logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String(name), RetentionInDays: aws.Int32(days)})
		return err
	}
	if err := retain("/aws/lambda/node-07", 14); err != nil {
		t.Error(err)
	}
	refused(t, "odd days", retain("/aws/lambda/node-07", 13), "InvalidParameterException", "retentionInDays")
	refused(t, "no group", retain("/aws/lambda/node-99", 14), "ResourceNotFoundException", "does not exist")

	found := map[string]int32{}
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(logs, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/lambda/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range page.LogGroups {
			found[*g.LogGroupName] = aws.ToInt32(g.RetentionInDays)
		}
	}
	if len(found) != 60 || found["/aws/lambda/node-07"] != 14 || found["/aws/lambda/node-08"] != 0 {
		t.Errorf("%d groups: %v", len(found), found)
	}
	if _, err := logs.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: aws.String("/aws/lambda/node-07")}); err != nil {
		t.Error(err)
	}
	remove := func(name string) error {
		_, err := logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String(name)})
		return err
	}
	refused(t, "injected", remove("/aws/lambda/node-07"), "OperationAbortedException", "again")
	if err := remove("/aws/lambda/node-07"); err != nil {
		t.Error(err)
	}
	refused(t, "second deletion", remove("/aws/lambda/node-07"), "ResourceNotFoundException", "")

	// A function's first instance makes its group, if nobody has.
	in := creation("f", nodeZip(t))
	c.create(t, in)
	c.active(t, "f")
	c.ok(t, "f", `{"op":"echo"}`)
	refused(t, "group of a function", create("/aws/lambda/f"), "ResourceAlreadyExistsException", "")
	if _, err := logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("x")}); err == nil {
		t.Error("an operation that is not served has an answer")
	}
}
