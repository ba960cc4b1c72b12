package emulator

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestAllSettingsAreChecked: a request that breaks several rules of the API's
// model is told of all.
func TestAllSettingsAreChecked(t *testing.T) {
	_, c := emptyPlatform(t, Control{Unthrottled: true})
	bad := creation("no spaces", zipOf(zipped{"bootstrap", 0o755, nil}))
	bad.MemorySize, bad.Timeout = aws.Int32(127), aws.Int32(901)
	bad.Role = aws.String("admin")
	_, err := c.CreateFunction(t.Context(), bad)
	refused(t, "bad name", err, "ValidationException", "'functionName'")
	bad.FunctionName = aws.String("f")
	_, err = c.CreateFunction(t.Context(), bad)
	for _, field := range []string{"3 validation errors detected", "'memorySize'", "'timeout'", "'role'"} {
		refused(t, "bad numbers", err, "ValidationException", field)
	}
	for name, tt := range map[string]struct {
		change func(*sdk.CreateFunctionInput)
		want   string
	}{
		"runtime":      {func(in *sdk.CreateFunctionInput) { in.Runtime = types.RuntimeNodejs22x }, "'runtime'"},
		"reserved":     {func(in *sdk.CreateFunctionInput) { in.Environment = variables("AWS_REGION", "x") }, "Reserved keys used in this request: AWS_REGION"},
		"large":        {func(in *sdk.CreateFunctionInput) { in.Environment = variables("KEY", strings.Repeat("x", 4096)) }, "exceeded the 4KB limit"},
		"half a VPC":   {func(in *sdk.CreateFunctionInput) { in.VpcConfig = &types.VpcConfig{SubnetIds: []string{"subnet-1"}} }, "must coexist"},
		"text levels":  {func(in *sdk.CreateFunctionInput) { in.LoggingConfig = &types.LoggingConfig{SystemLogLevel: "WARN"} }, "log format"},
		"layers":       {func(in *sdk.CreateFunctionInput) { in.Layers = []string{"a"} }, "Layers is not served"},
		"publish":      {func(in *sdk.CreateFunctionInput) { in.Publish = true }, "Publish is not served"},
		"image":        {func(in *sdk.CreateFunctionInput) { in.PackageType = types.PackageTypeImage }, "PackageType"},
		"S3":           {func(in *sdk.CreateFunctionInput) { in.Code = &types.FunctionCode{S3Bucket: aws.String("b")} }, "ZipFile"},
		"no code":      {func(in *sdk.CreateFunctionInput) { in.Code = &types.FunctionCode{} }, "source for function code"},
		"no handler":   {func(in *sdk.CreateFunctionInput) { in.Handler = nil }, "mandatory"},
		"AWS tag":      {func(in *sdk.CreateFunctionInput) { in.Tags = map[string]string{"aws:x": ""} }, "Tag"},
		"qualified":    {func(in *sdk.CreateFunctionInput) { in.FunctionName = aws.String("f:1") }, "qualifier"},
		"active trace": {func(in *sdk.CreateFunctionInput) { in.TracingConfig = &types.TracingConfig{Mode: "Active"} }, "TracingConfig"},
	} {
		in := creation("f", zipOf(zipped{"bootstrap", 0o755, nil}))
		tt.change(in)
		_, err := c.CreateFunction(t.Context(), in)
		refused(t, name, err, "InvalidParameterValueException", tt.want)
	}
	_, err = c.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{
		FunctionName: aws.String("f"), Environment: variables("KEY", strings.Repeat("x", maxConfigurationRequest)),
	})
	refused(t, "large update", err, "RequestEntityTooLargeException", "Request must be smaller than 5120 bytes for the UpdateFunctionConfiguration operation")
}

func variables(name, value string) *types.Environment {
	return &types.Environment{Variables: map[string]string{name: value}}
}
