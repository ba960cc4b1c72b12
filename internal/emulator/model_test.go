package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/schemas"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/traits"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// modelled is the SDK's protocol, which holds every answer against the API's
// model first: the one that the SDK itself was generated from. All clients of
// this package's tests have it.
type modelled struct {
	smithyhttp.ClientProtocol
	t *testing.T
}

// unmodelled are errors of the real service that its model does not have.
var unmodelled = []string{
	"ValidationException", "RequestEntityTooLargeException", "UnknownOperationException", "AccessDeniedException", "SerializationException",
}

func (m modelled) DeserializeResponse(ctx context.Context, op *smithy.OperationSchema, registry *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	for _, complaint := range answerComplaints(op, registry, resp, body, out) {
		m.t.Errorf("answer to %s, %d %s: %s", op.ID().Name, resp.StatusCode, body, complaint)
	}
	return m.ClientProtocol.DeserializeResponse(ctx, op, registry, resp, out)
}

// answerComplaints says where an answer is not as the model has it.
func answerComplaints(op *smithy.OperationSchema, registry *smithy.TypeRegistry, resp *smithyhttp.Response, body []byte, out any) []string {
	if resp.Header.Get("X-Amzn-Requestid") == "" {
		return []string{"no request id"}
	}
	if resp.StatusCode >= 300 {
		return errorComplaints(registry, resp, body)
	}
	if op.ID().Name == "Invoke" {
		return nil // the payload is the function's; headers are what the SDK reads
	}
	if h, ok := smithy.SchemaTrait[*traits.HTTP](op.Schema); ok && h.Code != resp.StatusCode && !ownStatus(op.Output) {
		return []string{fmt.Sprintf("status is %d in the model", h.Code)}
	}
	if resp.StatusCode == http.StatusNoContent {
		if len(body) > 0 {
			return []string{"has a body"}
		}
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []string{err.Error()}
	}
	if op.Output == nil {
		if string(body) != "{}" {
			return []string{"has a body"}
		}
		return nil
	}
	return valueComplaints("", op.Output, reflect.TypeOf(out).Elem(), v)
}

// ownStatus tells whether the status is for the service to choose, and part of
// the answer: DeleteFunction's is 204 although the model has 200.
func ownStatus(output *smithy.Schema) bool {
	if output == nil {
		return false
	}
	for _, member := range output.Members() {
		if _, ok := smithy.SchemaTrait[*traits.HTTPResponseCode](member); ok {
			return true
		}
	}
	return false
}

func errorComplaints(registry *smithy.TypeRegistry, resp *smithyhttp.Response, body []byte) []string {
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return []string{err.Error()}
	}
	kind := resp.Header.Get("X-Amzn-ErrorType")
	if kind == "" {
		kind, _ = members["__type"].(string)
		delete(members, "__type")
	}
	entry, ok := registry.LookupEntry(kind)
	if !ok {
		if slices.Contains(unmodelled, kind) {
			return nil
		}
		return []string{"no such error"}
	}
	if h, ok := smithy.SchemaTrait[*traits.HTTPError](entry.Schema); ok && h.Code != resp.StatusCode {
		return []string{fmt.Sprintf("%s has status %d in the model", kind, h.Code)}
	}
	return valueComplaints(kind, entry.Schema, reflect.TypeOf(entry.New()).Elem(), members)
}

// valueComplaints compares a value of an answer with its shape in the model, and
// with the SDK's type for it, which alone knows an enumeration's values.
func valueComplaints(at string, shape *smithy.Schema, typ reflect.Type, v any) (all []string) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	wrong := func() []string { return []string{fmt.Sprintf("%s: %v is no %v", at, v, typ)} }
	switch shape.Type() {
	case smithy.ShapeTypeStructure:
		members, ok := v.(map[string]any)
		if !ok {
			return wrong()
		}
		for name, value := range members {
			member := shape.Member(name)
			field, ok := typ.FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, name) })
			if member == nil || !ok {
				all = append(all, at+"."+name+": not in the model")
				continue
			}
			all = append(all, valueComplaints(at+"."+name, member, field.Type, value)...)
		}
	case smithy.ShapeTypeList:
		list, ok := v.([]any)
		if !ok {
			return wrong()
		}
		for _, value := range list {
			all = append(all, valueComplaints(at+"[]", shape.ListMember(), typ.Elem(), value)...)
		}
	case smithy.ShapeTypeMap:
		members, ok := v.(map[string]any)
		if !ok {
			return wrong()
		}
		for _, value := range members {
			all = append(all, valueComplaints(at+"{}", shape.MapValue(), typ.Elem(), value)...)
		}
	case smithy.ShapeTypeEnum:
		values := reflect.Zero(typ).MethodByName("Values").Call(nil)[0]
		for i := range values.Len() {
			if values.Index(i).String() == v {
				return nil
			}
		}
		return []string{fmt.Sprintf("%s: %v is not one of %v", at, v, values)}
	case smithy.ShapeTypeString:
		text, ok := v.(string)
		if !ok {
			return wrong()
		}
		if strings.HasSuffix(at, ".LastModified") {
			if _, err := time.Parse("2006-01-02T15:04:05.000-0700", text); err != nil {
				return []string{err.Error()}
			}
		}
	case smithy.ShapeTypeBoolean:
		if _, ok := v.(bool); !ok {
			return wrong()
		}
	case smithy.ShapeTypeInteger, smithy.ShapeTypeLong:
		if n, ok := v.(float64); !ok || n != float64(int64(n)) {
			return wrong()
		}
	default:
		return []string{fmt.Sprintf("%s: shape %v is not expected here", at, shape.Type())}
	}
	return all
}

// TestModelSeesWhatIsWrong keeps the checks above from passing everything.
func TestModelSeesWhatIsWrong(t *testing.T) {
	typ := reflect.TypeFor[types.FunctionConfiguration]()
	for text, want := range map[string]string{
		`{"FunctionNam":"f"}`:                      "not in the model",
		`{"State":"Asleep"}`:                       "not one of",
		`{"LastModified":"today"}`:                 "parsing time",
		`{"MemorySize":"128"}`:                     "is no int32",
		`{"Environment":{"Variables":[]}}`:         "is no map",
		`{"VpcConfig":{"SubnetIds":[1]}}`:          "is no string",
		`{"LoggingConfig":{"LogFormat":"Paper"}}`:  "not one of",
		`{"TenancyConfig":{"TenantIsolation":""}}`: "not in the model",
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got := valueComplaints("", schemas.FunctionConfiguration, typ, v); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// models are the operations with the model's shapes of them and of their input.
var models = map[string]struct{ operation, input *smithy.Schema }{
	"CreateFunction":              {schemas.CreateFunction, schemas.CreateFunctionRequest},
	"ListFunctions":               {schemas.ListFunctions, schemas.ListFunctionsRequest},
	"GetFunction":                 {schemas.GetFunction, schemas.GetFunctionRequest},
	"DeleteFunction":              {schemas.DeleteFunction, schemas.DeleteFunctionRequest},
	"UpdateFunctionCode":          {schemas.UpdateFunctionCode, schemas.UpdateFunctionCodeRequest},
	"GetFunctionConfiguration":    {schemas.GetFunctionConfiguration, schemas.GetFunctionConfigurationRequest},
	"UpdateFunctionConfiguration": {schemas.UpdateFunctionConfiguration, schemas.UpdateFunctionConfigurationRequest},
	"PutFunctionConcurrency":      {schemas.PutFunctionConcurrency, schemas.PutFunctionConcurrencyRequest},
	"GetFunctionConcurrency":      {schemas.GetFunctionConcurrency, schemas.GetFunctionConcurrencyRequest},
	"DeleteFunctionConcurrency":   {schemas.DeleteFunctionConcurrency, schemas.DeleteFunctionConcurrencyRequest},
	"TagResource":                 {schemas.TagResource, schemas.TagResourceRequest},
	"UntagResource":               {schemas.UntagResource, schemas.UntagResourceRequest},
	"ListTags":                    {schemas.ListTags, schemas.ListTagsRequest},
	"GetAccountSettings":          {schemas.GetAccountSettings, schemas.GetAccountSettingsRequest},
}

func TestOperationsAreWhereTheModelHasThem(t *testing.T) {
	label := regexp.MustCompile(`\{\w+\}`)
	for _, op := range operations {
		m, ok := models[op.name]
		if !ok {
			t.Errorf("%s is not compared", op.name)
			continue
		}
		h, _ := smithy.SchemaTrait[*traits.HTTP](m.operation)
		want := h.Method + " " + label.ReplaceAllString(h.URI, "{}")
		if got := label.ReplaceAllString(op.at, "{}"); got != want || op.status != h.Code && op.name != "DeleteFunction" {
			t.Errorf("%s is at %s with status %d, in the model at %s with %d", op.name, got, op.status, want, h.Code)
		}
	}
}

// TestEveryRequestMemberIsKnown: what a request may have is heeded or refused,
// never overlooked.
func TestEveryRequestMemberIsKnown(t *testing.T) {
	for name, in := range map[string]any{
		"CreateFunction":              createRequest{},
		"UpdateFunctionCode":          updateCodeRequest{},
		"UpdateFunctionConfiguration": updateConfigurationRequest{},
		"PutFunctionConcurrency":      concurrency{},
		"TagResource":                 struct{ Tags map[string]string }{},
	} {
		known(t, name, models[name].input, reflect.TypeOf(in))
	}
}

func known(t *testing.T, at string, shape *smithy.Schema, typ reflect.Type) {
	t.Helper()
	for name, member := range shape.Members() {
		if _, inPath := smithy.SchemaTrait[*traits.HTTPLabel](member); inPath {
			continue
		}
		field, ok := typ.FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, name) })
		if !ok {
			t.Errorf("%s.%s is not known", at, name)
			continue
		}
		of := field.Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if member.Type() == smithy.ShapeTypeStructure && of != reflect.TypeFor[json.RawMessage]() {
			known(t, at+"."+name, member, of)
		}
	}
}

// TestWhatTheSDKRequiresIsRequired leaves members out one by one: a request that
// the SDK does not even send is refused here as well.
func TestWhatTheSDKRequiresIsRequired(t *testing.T) {
	e, c := emptyPlatform(t, Control{Unthrottled: true})
	code := zipOf(zipped{"bootstrap", 0o755, nil})
	c.create(t, creation("f", code))
	full := creation("g", code)
	full.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	full.EphemeralStorage = &types.EphemeralStorage{Size: aws.Int32(512)}

	for _, tt := range []struct {
		name, path string
		in         any
		send       func(any) error
		required   []string
	}{
		{"CreateFunction", "POST /2015-03-31/functions", full, func(in any) error {
			_, err := c.CreateFunction(t.Context(), in.(*sdk.CreateFunctionInput))
			return err
		}, []string{"Code", "FunctionName", "Role"}},
		{"PutFunctionConcurrency", "PUT /2017-10-31/functions/f/concurrency",
			&sdk.PutFunctionConcurrencyInput{FunctionName: aws.String("f"), ReservedConcurrentExecutions: aws.Int32(1)}, func(in any) error {
				_, err := c.PutFunctionConcurrency(t.Context(), in.(*sdk.PutFunctionConcurrencyInput))
				return err
			}, []string{"ReservedConcurrentExecutions"}},
		{"TagResource", "POST /2017-03-31/tags/" + strings.ReplaceAll(functionARN("f"), ":", "%3A"),
			&sdk.TagResourceInput{Resource: aws.String(functionARN("f")), Tags: map[string]string{"a": "b"}}, func(in any) error {
				_, err := c.TagResource(t.Context(), in.(*sdk.TagResourceInput))
				return err
			}, []string{"Tags"}},
	} {
		var sent, left []string
		whole := reflect.ValueOf(tt.in).Elem()
		for member, shape := range models[tt.name].input.Members() {
			field := whole.FieldByName(member)
			if _, inPath := smithy.SchemaTrait[*traits.HTTPLabel](shape); inPath || field.IsZero() {
				continue
			}
			without := reflect.New(whole.Type())
			without.Elem().Set(whole)
			without.Elem().FieldByName(member).SetZero()
			if err := tt.send(without.Interface()); !errors.As(err, new(smithy.InvalidParamsError)) {
				sent = append(sent, member)
				if tt.name == "CreateFunction" && err == nil {
					if _, err := c.DeleteFunction(t.Context(), &sdk.DeleteFunctionInput{FunctionName: aws.String("g")}); err != nil {
						t.Fatal(err)
					}
				}
				continue
			}
			left = append(left, member)
			body := map[string]any{}
			if tt.name == "CreateFunction" {
				body = map[string]any{"Code": map[string]any{"ZipFile": code}, "FunctionName": "g", "Role": testRole, "Runtime": "provided.al2023", "Handler": "bootstrap"}
			}
			delete(body, member)
			if status := post(t, e, tt.path, body); status != http.StatusBadRequest {
				t.Errorf("%s without %s: status %d", tt.name, member, status)
			}
		}
		slices.Sort(left)
		if !slices.Equal(left, tt.required) {
			t.Errorf("%s: the SDK requires %v, and sends without each of %v", tt.name, left, sent)
		}
	}
}

func post(t *testing.T, e *Emulator, at string, body any) int {
	t.Helper()
	method, path, _ := strings.Cut(at, " ")
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, e.URL()+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// TestEveryOperation drives each operation with as much as it takes, so that
// every member of its answer meets the model.
func TestEveryOperation(t *testing.T) {
	e, c := emptyPlatform(t, Control{UpdateTime: 30 * time.Millisecond, CreateTime: 30 * time.Millisecond, Unthrottled: true})
	ctx, name := t.Context(), aws.String("node-0")
	arn := aws.String(functionARN(*name))
	in := creation(*name, nodeZip(t))
	in.Description = aws.String("a node")
	in.Tags = map[string]string{"a": "1", "b": "2"}
	in.Environment = variables("COLOR", "blue")
	in.VpcConfig = &types.VpcConfig{SubnetIds: []string{"subnet-1"}, SecurityGroupIds: []string{"sg-1"}, Ipv6AllowedForDualStack: aws.Bool(true)}
	in.LoggingConfig = &types.LoggingConfig{LogFormat: types.LogFormatJson, SystemLogLevel: types.SystemLogLevelWarn, LogGroup: aws.String("/pool")}
	in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	in.EphemeralStorage = &types.EphemeralStorage{Size: aws.Int32(1024)}
	c.create(t, in)
	c.active(t, *name)

	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := c.PutFunctionConcurrency(ctx, &sdk.PutFunctionConcurrencyInput{FunctionName: name, ReservedConcurrentExecutions: aws.Int32(2)})
	check("PutFunctionConcurrency", err)
	reserved, err := c.GetFunctionConcurrency(ctx, &sdk.GetFunctionConcurrencyInput{FunctionName: name})
	check("GetFunctionConcurrency", err)
	if aws.ToInt32(reserved.ReservedConcurrentExecutions) != 2 {
		t.Errorf("reserved: %+v", reserved)
	}
	_, err = c.TagResource(ctx, &sdk.TagResourceInput{Resource: arn, Tags: map[string]string{"b": "3", "c": "4"}})
	check("TagResource", err)
	_, err = c.UntagResource(ctx, &sdk.UntagResourceInput{Resource: arn, TagKeys: []string{"a", "z"}})
	check("UntagResource", err)
	tags, err := c.ListTags(ctx, &sdk.ListTagsInput{Resource: arn})
	check("ListTags", err)
	if fmt.Sprint(tags.Tags) != "map[b:3 c:4]" {
		t.Errorf("tags: %v", tags.Tags)
	}
	_, err = c.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: name, Timeout: aws.Int32(30)})
	check("UpdateFunctionConfiguration", err)
	c.updated(t, *name)
	_, err = c.UpdateFunctionCode(ctx, &sdk.UpdateFunctionCodeInput{FunctionName: arn, ZipFile: nodeZip(t), Architectures: in.Architectures})
	check("UpdateFunctionCode", err)
	c.updated(t, *name)
	got, err := c.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: arn, Qualifier: aws.String("$LATEST")})
	check("GetFunction", err)
	f := got.Configuration
	if *f.FunctionArn != *arn || f.PackageType != types.PackageTypeZip || *f.Timeout != 30 || *f.MemorySize != 256 || *f.Description != "a node" ||
		f.Environment.Variables["COLOR"] != "blue" || f.VpcConfig.SubnetIds[0] != "subnet-1" || !*f.VpcConfig.Ipv6AllowedForDualStack ||
		f.LoggingConfig.SystemLogLevel != types.SystemLogLevelWarn || f.LoggingConfig.ApplicationLogLevel != types.ApplicationLogLevelInfo ||
		f.TenancyConfig.TenantIsolationMode != types.TenantIsolationModePerTenant || *f.EphemeralStorage.Size != 1024 || *f.Version != version ||
		f.Architectures[0] != types.ArchitectureX8664 || *got.Concurrency.ReservedConcurrentExecutions != 2 || got.Tags["b"] != "3" {
		t.Errorf("function: %+v, %+v", got, f)
	}
	_, err = c.GetFunctionConfiguration(ctx, &sdk.GetFunctionConfigurationInput{FunctionName: name})
	check("GetFunctionConfiguration", err)
	_, err = c.ListFunctions(ctx, &sdk.ListFunctionsInput{FunctionVersion: types.FunctionVersionAll, MaxItems: aws.Int32(1)})
	check("ListFunctions", err)
	_, err = c.GetAccountSettings(ctx, &sdk.GetAccountSettingsInput{})
	check("GetAccountSettings", err)
	_, err = c.DeleteFunctionConcurrency(ctx, &sdk.DeleteFunctionConcurrencyInput{FunctionName: name})
	check("DeleteFunctionConcurrency", err)
	_, err = c.DeleteFunction(ctx, &sdk.DeleteFunctionInput{FunctionName: name})
	check("DeleteFunction", err)
	for _, op := range operations {
		if e.Calls(op.name) == 0 {
			t.Errorf("%s was not called", op.name)
		}
	}
}
