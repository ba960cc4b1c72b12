package lambda

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/infinicache/infinicache/internal/deploy"
)

// Status is how a Finding judges.
type Status string

const (
	OK      Status = "ok"
	Warning Status = "warning" // works, or will, but not as it should
	Failure Status = "failure"
	Skipped Status = "skipped" // could not be looked at
)

// Finding is what a check found out about one subject.
type Finding struct {
	Subject string `json:"subject"`
	Status  Status `json:"status"`
	Found   string `json:"found"`
	Mend    string `json:"mend,omitempty"` // what to do about it, unless OK
}

// Fails tells whether any finding is a Failure.
func Fails(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Status == Failure })
}

// Check looks for what could keep the pool from being deployed, and from working
// once it is. It changes nothing; it starts an instance if the pool file names the
// proxy, to see whether functions reach it. The error is ctx's.
func (d *Deployer) Check(ctx context.Context) ([]Finding, error) {
	c := &checkup{Deployer: d}
	for _, look := range []func(context.Context) bool{c.identity, c.existing, c.account, c.permissions, c.functions, c.logGroup, c.proxy, c.drained} {
		if !look(ctx) {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return c.findings, nil
}

// checkup is one run of Check. Its methods look at one subject each and tell
// whether there is a point in looking on.
type checkup struct {
	*Deployer
	findings []Finding
	have     observed
}

func (c *checkup) add(subject string, status Status, mend, format string, args ...any) {
	c.findings = append(c.findings, Finding{subject, status, fmt.Sprintf(format, args...), mend})
}

// fail adds a failure that an error tells of.
func (c *checkup) fail(subject string, err error) {
	var e *Error
	if !errors.As(failure("", err), &e) {
		c.add(subject, Failure, "", "%v", err)
		return
	}
	without := *e
	without.Mend = ""
	c.add(subject, Failure, e.Mend, "%v", &without)
}

// identity sees that the credentials are valid, and whose they are.
func (c *checkup) identity(ctx context.Context) bool {
	const subject = "credentials"
	if err := c.credentials(ctx); err != nil {
		c.fail(subject, err)
		return false
	}
	if c.sts == nil {
		c.add(subject, OK, "", "those of the platform at %s, which checks none", aws.ToString(c.cfg.AWS.BaseEndpoint))
		return true
	}
	who, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		c.fail(subject, err)
		return false
	}
	c.add(subject, OK, "", "%s, region %s", aws.ToString(who.Arn), c.cfg.AWS.Region)
	if account := aws.ToString(who.Account); account != c.cfg.Pool.account() {
		c.add("role", Failure, "name a role of account "+account+", or use credentials of the role's account",
			"%s is of another account than the credentials, %s; the platform takes none from elsewhere", c.cfg.Pool.Role, account)
	}
	return true
}

// existing reads what there is; the rest builds on it.
func (c *checkup) existing(ctx context.Context) bool {
	have, err := c.observe(ctx)
	if err != nil {
		c.fail("platform", err)
		return false
	}
	c.have = have
	c.add("platform", OK, "", "answers in region %s", c.cfg.AWS.Region)
	return true
}

// account compares the account's limits with what the pool takes.
func (c *checkup) account(ctx context.Context) bool {
	const subject = "account limits"
	out, err := c.lambda.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		c.fail(subject, err)
		return true
	}
	if out.AccountLimit == nil {
		c.add(subject, Skipped, "", "the platform tells no limits")
		return true
	}
	c.findings = append(c.findings, c.cfg.Pool.judgeConcurrency(*out.AccountLimit, c.have.functions))
	if out.AccountUsage != nil {
		if f, tight := c.judgeStorage(*out.AccountLimit, out.AccountUsage.TotalCodeSize); tight {
			c.findings = append(c.findings, f)
		}
	}
	return true
}

// alwaysUnreserved is what the platform keeps for functions that reserve nothing;
// less where the account has a small limit.
func alwaysUnreserved(limit int) int {
	if limit <= 100 {
		return 10
	}
	return 100
}

// judgeConcurrency tells whether the account has as much as the pool reserves
// beyond what it has already.
func (p *Pool) judgeConcurrency(limit types.AccountLimit, have []function) Finding {
	total, free := int(limit.ConcurrentExecutions), int(aws.ToInt32(limit.UnreservedConcurrentExecutions))
	want, held := p.Nodes*p.Concurrency, 0
	for _, f := range have {
		if f.owner() == p.Prefix {
			held += max(f.concurrency, 0)
		}
	}
	f := Finding{Subject: "concurrency", Status: OK}
	const mend = "ask for more concurrent executions in the Service Quotas console, lower concurrency or nodes, or set concurrency to 0"
	switch left, keep := free+held-want, alwaysUnreserved(total); {
	case p.Tenants && 2*p.Nodes*max(p.Concurrency, 1) > 5*total:
		f.Status, f.Mend = Failure, "ask for more concurrent executions in the Service Quotas console, or use fewer nodes"
		f.Found = fmt.Sprintf("%d tenant instances are wanted; a limit of %d concurrent executions allows %d", p.Nodes*max(p.Concurrency, 1), total, total*5/2)
	case want == 0 && p.Nodes > free:
		f.Status, f.Mend = Warning, "ask for more concurrent executions in the Service Quotas console, or use fewer nodes"
		f.Found = fmt.Sprintf("the pool reserves none, and its %d nodes cannot all run at once: %d of the account's %d are free", p.Nodes, free, total)
	case want == 0:
		f.Found = fmt.Sprintf("the pool reserves none; %d of the account's %d are free for %d nodes", free, total, p.Nodes)
	case left < keep:
		f.Status, f.Mend = Failure, mend
		f.Found = fmt.Sprintf("%d nodes reserve %d each, %d in all, of which they have %d; the account has %d of %d unreserved and has to keep %d",
			p.Nodes, p.Concurrency, want, held, free, total, keep)
	default:
		f.Found = fmt.Sprintf("%d nodes reserve %d each; %d of the account's %d stay unreserved, at least %d must", p.Nodes, p.Concurrency, left, total, keep)
	}
	return f
}

// judgeStorage tells whether there is room for the functions' archives.
func (c *checkup) judgeStorage(limit types.AccountLimit, used int64) (Finding, bool) {
	if c.cfg.Archive == nil || limit.TotalCodeSize == 0 {
		return Finding{}, false
	}
	missing := 0
	for _, at := range c.cfg.Pool.functions() {
		if !slices.ContainsFunc(c.have.functions, func(f function) bool { return f.function == at.function }) {
			missing++
		}
	}
	need := int64(missing) * int64(c.cfg.Archive.Size())
	if used+need <= limit.TotalCodeSize {
		return Finding{}, false
	}
	return Finding{
		"code storage", Failure, fmt.Sprintf("%d functions need %d bytes, the account has %d left", missing, need, limit.TotalCodeSize-used),
		"delete what is not needed, or ask for more in the Service Quotas console",
	}, true
}

// permissions tries what can be tried without changing anything.
func (c *checkup) permissions(ctx context.Context) bool {
	const subject = "permissions"
	mine := slices.IndexFunc(c.have.functions, func(f function) bool { return f.owner() == c.cfg.Pool.Prefix })
	if mine < 0 || c.cfg.Archive == nil {
		c.add(subject, Skipped, "", "reading is allowed; what changes functions shows when it is done, and is printed by --policy deployer")
		return true
	}
	_, err := c.lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
		FunctionName: aws.String(c.have.functions[mine].function), ZipFile: c.cfg.Archive.zip, DryRun: true,
		Architectures: []types.Architecture{types.Architecture(c.have.functions[mine].architecture)},
	})
	if err != nil {
		c.fail(subject, failure("try lambda:UpdateFunctionCode, without which no program is updated", err))
		return true
	}
	c.add(subject, OK, "", "reading and lambda:UpdateFunctionCode are allowed; the rest cannot be tried, and is printed by --policy deployer")
	return true
}

// functions looks at every function's state and settings.
func (c *checkup) functions(context.Context) bool {
	const subject = "functions"
	p := &c.cfg.Pool
	want := p.wanted("")
	if c.cfg.Archive != nil {
		want.code = c.cfg.Archive.hash
	}
	if err := p.clashes(c.have.functions, want); err != nil {
		c.fail(subject, err)
		return false
	}
	places := p.functions()
	var missing, differing []string
	well := 0
	for _, at := range places {
		i := slices.IndexFunc(c.have.functions, func(f function) bool { return f.function == at.function })
		if i < 0 {
			missing = append(missing, at.function)
			continue
		}
		f := c.have.functions[i]
		if c.cfg.Archive == nil {
			f.code = ""
		}
		difference := compare(f.settings, want)
		switch {
		case f.state == types.StateFailed, f.lastUpdate == types.LastUpdateStatusFailed:
			c.add(f.function, Failure, "mend that, then deploy again", "the platform failed to make or update it: %s", or(f.stateReason, "no reason given"))
		case f.state == types.StateInactive:
			c.add(f.function, Warning, "invoke it: the first invocation fails and brings it back within minutes; a pool in use does not come to this",
				"inactive, since nobody invoked it for long")
		case f.changing():
			c.add(f.function, Warning, "look again in a minute", "being made or updated")
		case !difference.none():
			differing = append(differing, f.function)
		default:
			well++
		}
	}
	if len(missing) > 0 {
		c.add(subject, Warning, "deploy", "%d of %d do not exist: %s", len(missing), len(places), some(missing))
	}
	if len(differing) > 0 {
		c.add(subject, Warning, "deploy; --dry-run shows what differs", "%d of %d differ from the pool file: %s", len(differing), len(places), some(differing))
	}
	if well > 0 {
		c.add(subject, OK, "", "%d of %d are as they should be", well, len(places))
	}
	return true
}

// some names a few.
func some(names []string) string {
	const few = 5
	text := join(names[:min(few, len(names))], func(s string) string { return s })
	if len(names) > few {
		text += fmt.Sprintf(" and %d more", len(names)-few)
	}
	return text
}

// logGroup looks at how long logs are kept.
func (c *checkup) logGroup(context.Context) bool {
	for _, s := range c.cfg.Pool.planLogs(c.have.logs) {
		kept := or(s.Fields[0].From, "not made yet")
		if s.Action == deploy.Update {
			kept = "kept " + kept
		}
		c.add("logs", Warning, "deploy", "%s is %s, %s wanted", s.Name, kept, s.Fields[0].To)
	}
	return true
}

// drained asks the proxy for nodes that nobody uses.
func (c *checkup) drained(ctx context.Context) bool {
	const subject = "drained nodes"
	if c.cfg.Drainer == nil {
		return true
	}
	nodes, err := c.cfg.Drainer.Drained(ctx)
	switch {
	case err != nil:
		c.add(subject, Failure, "name the admin door of the pool's proxy", "%v", err)
	case len(nodes) > 0:
		c.add(subject, Warning, "deploy, or give them back with `infinicache pool admit`", "%v hold nothing and are given nothing", nodes)
	default:
		c.add(subject, OK, "", "the proxy has none")
	}
	return true
}
