package lambda

import (
	"fmt"

	platform "github.com/infinicache/infinicache/internal/platform/lambda"
)

// Party is who a policy is for.
type Party string

const (
	PartyDeployer Party = "deployer" // whoever runs deployments
	PartyProxy    Party = "proxy"    // whoever invokes functions
	PartyFunction Party = "function" // the functions' role
	PartyTrust    Party = "trust"    // who may take on the functions' role
)

// Parties are all of them.
var Parties = []Party{PartyDeployer, PartyProxy, PartyFunction, PartyTrust}

// Policy is a document of AWS IAM.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement is one permission, or its refusal.
type Statement struct {
	Sid       string
	Effect    string
	Principal map[string]string `json:",omitempty"`
	Action    []string
	Resource  []string                       `json:",omitempty"`
	Condition map[string]map[string][]string `json:",omitempty"`
}

// interfaces are the actions with which the platform attaches functions to a VPC.
var interfaces = []string{
	"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface",
	"ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
}

// Policy is the least that a party needs. region may be empty, which allows every
// region.
func (p *Pool) Policy(party Party, region string) Policy {
	var s []Statement
	switch party {
	case PartyDeployer:
		s = p.deployerPolicy(region)
	case PartyProxy:
		s = []Statement{allow("InvokeNodes", p.functionARNs(region)[:1], "lambda:InvokeFunction")}
	case PartyFunction:
		s = p.functionPolicy(region)
	case PartyTrust:
		s = []Statement{{
			Sid: "RunFunctions", Effect: "Allow", Action: []string{"sts:AssumeRole"},
			Principal: map[string]string{"Service": "lambda.amazonaws.com"},
		}}
	}
	return Policy{Version: "2012-10-17", Statement: s}
}

func (p *Pool) deployerPolicy(region string) []Statement {
	pass := allow("PassRole", []string{p.Role}, "iam:PassRole")
	pass.Condition = map[string]map[string][]string{"StringEquals": {"iam:PassedToService": {"lambda.amazonaws.com"}}}
	s := []Statement{
		allow("Look", []string{"*"}, "lambda:ListFunctions", "lambda:GetAccountSettings"),
		allow("Deploy", p.functionARNs(region),
			"lambda:CreateFunction", "lambda:GetFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
			"lambda:DeleteFunction", "lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency",
			"lambda:TagResource", "lambda:ListTags"),
		allow("Probe", p.functionARNs(region), "lambda:InvokeFunction"),
		pass,
	}
	if p.VPC.attached() {
		s = append(s, allow("LookAtNetwork", []string{"*"},
			"ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs", "ec2:GetSecurityGroupsForVpc"))
	}
	if p.LogRetentionDays > 0 {
		s = append(s,
			allow("LookAtLogs", []string{p.arn("logs", region, "log-group:*")}, "logs:DescribeLogGroups"),
			allow("KeepLogs", p.logARNs(region), "logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"))
	}
	return s
}

func (p *Pool) functionPolicy(region string) []Statement {
	write := []string{"logs:CreateLogStream", "logs:PutLogEvents"}
	if p.LogRetentionDays == 0 { // nobody else makes the group
		write = append(write, "logs:CreateLogGroup")
	}
	s := []Statement{allow("WriteLogs", p.logARNs(region), write...)}
	if p.VPC.attached() {
		// The platform attaches functions with these; the code in them must not.
		s = append(s, allow("AttachToNetwork", []string{"*"}, interfaces...), Statement{
			Sid: "NotTheCodeItself", Effect: "Deny", Action: interfaces, Resource: []string{"*"},
			Condition: map[string]map[string][]string{"ArnLike": {"lambda:SourceFunctionArn": p.functionARNs(region)}},
		})
	}
	return s
}

func allow(sid string, resources []string, actions ...string) Statement {
	return Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// functionARNs name the pool's functions, of any size; first those of its mode,
// then those of the other, at whose names a deployment looks too.
func (p *Pool) functionARNs(region string) []string {
	each := p.arn("lambda", region, "function:"+p.Prefix+"*")
	all := p.arn("lambda", region, "function:"+platform.TenantFunction(p.Prefix))
	if p.Tenants {
		return []string{all, each}
	}
	return []string{each, all}
}

func (p *Pool) logARNs(region string) []string {
	group := p.arn("logs", region, "log-group:"+p.logGroup())
	return []string{group, group + ":*"}
}

func (p *Pool) arn(service, region, resource string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", p.partition(), service, or(region, "*"), p.account(), resource)
}
