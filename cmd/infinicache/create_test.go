package main

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCreate deploys as any client of the service would.
func scriptCreate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: create URL NAME...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	code, err := nodePackage()
	ts.Check(err)
	client := lambda.New(lambda.Options{
		Region: "us-east-1", BaseEndpoint: &args[0], RetryMaxAttempts: 10,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
		}),
	})
	for _, name := range args[1:] {
		_, err := client.CreateFunction(ctx, &lambda.CreateFunctionInput{
			FunctionName: &name, Role: aws.String("arn:aws:iam::123456789012:role/node"), Runtime: types.RuntimeProvidedal2023,
			Handler: aws.String("bootstrap"), MemorySize: aws.Int32(128), Timeout: aws.Int32(900), Code: &types.FunctionCode{ZipFile: code},
		})
		ts.Check(err)
	}
	for _, name := range args[1:] {
		active := lambda.NewFunctionActiveV2Waiter(client, func(o *lambda.FunctionActiveV2WaiterOptions) {
			o.MinDelay, o.MaxDelay = 50*time.Millisecond, 200*time.Millisecond
		})
		ts.Check(active.Wait(ctx, &lambda.GetFunctionInput{FunctionName: &name}, time.Minute))
	}
}

// nodePackage is infinicache-node as the service takes it.
func nodePackage() ([]byte, error) {
	program, err := os.ReadFile(filepath.Join(bin, "infinicache-node"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	to, err := w.CreateHeader(h)
	if err != nil {
		return nil, err
	}
	if _, err := to.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
