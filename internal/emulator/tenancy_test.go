package emulator

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func TestTenants(t *testing.T) {
	e, c := emptyPlatform(t, Control{})
	in := creation("pool", nodeZip(t))
	in.Environment = variables(roleVar, "tenant")
	in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	c.create(t, in)
	c.active(t, "pool")
	invoke := func(tenant string) (*sdk.InvokeOutput, error) {
		in := &sdk.InvokeInput{FunctionName: aws.String("pool"), Payload: []byte(`{}`)}
		if tenant != "" {
			in.TenantId = &tenant
		}
		return c.Invoke(t.Context(), in)
	}
	for range 2 {
		for _, tenant := range []string{"node0-a", "node0-b"} {
			out, err := invoke(tenant)
			if err != nil || out.FunctionError != nil {
				t.Fatalf("%s: %+v, %v", tenant, out, err)
			}
			if want := fmt.Sprintf("%q", tenant); string(out.Payload) != want {
				t.Errorf("%s is told %s", tenant, out.Payload)
			}
		}
	}
	all := e.Instances()
	if len(all) != 2 || all[0].Tenant != "node0-a" || all[1].Tenant != "node0-b" || all[0].Sessions != 2 || all[0].Node != -1 {
		t.Errorf("instances: %+v", all)
	}
	_, err := invoke("")
	refused(t, "no tenant", err, "InvalidParameterValueException", "Add a valid tenant ID")
	_, err = invoke("a#b")
	refused(t, "bad tenant", err, "InvalidParameterValueException", "tenant ID")
}
