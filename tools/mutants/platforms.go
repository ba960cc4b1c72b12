package main

// platformMutants are those of drivers, deployments, the embedded platform, and the paths
// that platforms of containers open.
var platformMutants = []mutant{
	// Deployment to AWS Lambda.
	{
		name: "delete what lacks the pool's tag", file: "internal/deploy/lambda/plan.go", tests: lambda,
		old: `surplus && f.owner() == p.Prefix {`, new: `surplus {`,
	},
	{
		name: "destroy what lacks the pool's tag", file: "internal/deploy/lambda/plan.go", tests: lambda,
		old: `		if f.owner() == p.Prefix {
			deletes`, new: `		if true {
			deletes`,
	},
	{
		name: "take a stranger's function for one's own", file: "internal/deploy/lambda/change.go", tests: lambda,
		old: `if f.owner() == d.cfg.Pool.Prefix {`, new: `if true {`,
	},
	{
		name: "lose objects without being allowed to", file: "internal/deploy/lambda/apply.go", tests: lambda,
		old: `if plan.Loses && !d.cfg.LoseObjects {`, new: `if false {`,
	},
	{
		name: "update all nodes at once", file: "internal/deploy/lambda/apply.go", tests: lambda,
		old: `slices.Chunk(rest, d.cfg.AtOnce)`, new: `slices.Chunk(rest, max(len(rest), 1))`,
	},
	{
		name: "leave nodes drained when interrupted", file: "internal/deploy/lambda/apply.go", tests: lambda,
		old: `context.WithTimeout(context.WithoutCancel(ctx), admitPatience)`, new: `context.WithTimeout(ctx, admitPatience)`,
	},
	{
		name: "admit a node before its update is done", file: "internal/deploy/lambda/settings.go", tests: lambda,
		old: `f.state == types.StatePending || f.lastUpdate == types.LastUpdateStatusInProgress`, new: `false && f.state == types.StatePending`,
	},
	{
		name: "call as fast as one can", file: "internal/deploy/lambda/pace.go", tests: lambda,
		old: `	p.next = turn.Add(p.every)
`, new: `	p.next = turn
`,
	},
	{
		name: "time in the archive", file: "internal/deploy/lambda/program.go", tests: lambda,
		old: `time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)`, new: `time.Now()`,
	},

	// The embedded platform's management API.
	{
		name: "keep idle instances over an update", file: "internal/emulator/deployment.go", tests: emulator,
		old: `return inst.idle() }`, new: `return false }`,
	},
	{
		name: "reuse an instance that an update met in session", file: "internal/emulator/instance.go", tests: emulator,
		old: `inst.def != fn.def || fn.removed`, new: `fn.removed`,
	},
	{
		name: "give a tenant another's instance", file: "internal/emulator/function.go", tests: emulator,
		old: `case inst.tenant == tenant:`, new: `default:`,
	},
	{
		name: "update a function that is being updated", file: "internal/emulator/deployment.go", tests: emulator,
		old: `case fn.coming != nil:
		return`, new: `case false:
		return`,
	},
	{
		name: "unzip outside the directory", file: "internal/emulator/code.go", tests: emulator,
		old: `!filepath.IsLocal(f.Name) || `, new: ``,
	},
	{
		name: "drop code that a function has", file: "internal/emulator/code.go", tests: emulator,
		old: `!used[c] && c.holders == 0`, new: `c.holders == 0`,
	},
	// Links both ways, and functions that are HTTP services.
	{
		name: "link to whoever has any key", file: "internal/tlslink/tlslink.go", tests: "./internal/tlslink",
		old: `subtle.ConstantTimeCompare(got[:], peer[:]) != 1 {`, new: `subtle.ConstantTimeCompare(got[:], peer[:]) == 2 {`,
	},
	{
		name: "take an invocation with a wrong signature", file: "internal/wire/signed.go", tests: "./internal/wire",
		old: ` || !ed25519.Verify(s.Key, s.Invocation, s.Signature)`, new: ``,
	},
	{
		name: "let a stranger have an instance that holds chunks", file: "internal/node/session.go", tests: "./internal/node",
		old: `another := n.cfg.Loyal && n.store`, new: `another := false && n.store`,
	},
	{
		name: "greet a proxy that was not called", file: "internal/node/inbound.go", tests: "./cmd/infinicache-node",
		old: `if len(inv.Fingerprint) > 0 {`, new: `if false {`,
	},
	{
		name: "do not probe the machine of an instance's proxy", file: "cmd/infinicache-node/service.go", tests: "./cmd/infinicache-node",
		old: ` Watch: true,`, new: ``,
	},
	{
		name: "do not probe the machine of a client's proxy", file: "connection.go", tests: ".",
		old: `, Watch: true}`, new: `}`,
	},
	{
		name: "refuse nodes while strangers say nothing", file: "internal/link/greetings.go", tests: "./internal/proxy",
		old: `		g.all = slices.Delete(g.all, 0, 1)
	}
	g.all = append(g.all, nc)
`, new: `		out = nc
	} else {
		g.all = append(g.all, nc)
	}
`,
	},
	{
		name: "take a node that has proved itself for a stranger", file: "internal/proxy/proxy.go", tests: "./internal/proxy",
		old: `func() { door.Leave(nc) })`, new: `func() {})`,
	},
	{
		name: "look up the name that an instance calls from", file: "internal/platform/knative/driver.go", tests: "./internal/platform/knative",
		old: `err != nil || at.Port() == 0 {`, new: `err != nil && at.Port() == 1 {`,
	},
	{
		name: "wait for ever for an invocation that is silent", file: "internal/platform/knative/driver.go", tests: "./internal/platform/knative",
		old: `func() { silence.Reset(d.cfg.Silence) }`, new: `func() { silence.Stop() }`,
	},
	{
		name: "send an identity token that has expired", file: "internal/platform/knative/token.go", tests: "./internal/platform/knative",
		old: `now.Before(t.expires.Add(-tokenSpent))`, new: `t.token != ""`,
	},
	{
		name: "follow a gateway's redirect with the identity token", file: "internal/platform/knative/driver.go", tests: "./internal/platform/knative",
		old: `error { return http.ErrUseLastResponse }`, new: `error { return nil }`,
	},
	{
		name: "send identity tokens over plain HTTP anywhere", file: "internal/platform/knative/driver.go", tests: "./internal/platform/knative",
		old: `cfg.Audience != "" && !Confidential(cfg.Gateway)`, new: `false`,
	},
	{
		name: "tell the identity token that a gateway tells", file: "internal/platform/knative/token.go", tests: "./internal/platform/knative",
		old: `return tokenInText.ReplaceAllString(text[:min(len(text), maxRefusal)], "(token)")`, new: `return text[:min(len(text), maxRefusal)]`,
	},
	{
		name: "begin a session beside another", file: "internal/activation/server.go", tests: "./internal/activation",
		old: `if !s.take(r.Context()) {`, new: `if false {`,
	},
	{
		name: "keep an instance that another has outlived", file: "internal/pool/outlive.go", tests: workloads,
		old: `next != "" && next != id.String()`, new: `next == ""`,
	},
	{
		name: "invoke the new instance before the old one gave way", file: "internal/pool/invoke.go", tests: workloads,
		old: `if reached && next != ""`, new: `if reached && next == "none"`,
	},
	{
		name: "have an old instance wait asleep for its turn", file: "internal/pool/invoke.go", tests: workloads,
		old: `		out, err := p.runInstance(ctx, n.id, speaker, payload)
		if errors`, new: `		out, err := platform.Outcome{}, error(platform.NotFound)
		if errors`,
	},
	{
		name: "have nobody take over what all leave at once", file: "internal/pool/leaving.go", tests: workloads,
		old: `if s != n.ordinary() || !overlapping || driver`, new: `if true || !overlapping || driver`,
	},
	{
		name: "release without a turn", file: "internal/proxy/succession.go", tests: workloads,
		old: `released = released || p.pool.ReleaseInTurn(node, old)`, new: `p.pool.Release(node, old, pool.ReleaseFor)
		released = true`,
	},
	{
		name: "give up what nobody can take at once", file: "internal/proxy/drain.go", tests: workloads,
		old: `quiet, pause = 0, drainRetry`, new: `quiet++`,
	},
	{
		name: "begin sessions of a node whose next instance is there", file: "internal/lifecycle/want.go", tests: "./internal/lifecycle",
		old: `return !n.succeeded && (n.poked || len(n.queue) > 0)`, new: `return n.poked || len(n.queue) > 0`,
	},
	{
		name: "do not seek an instance that went astray", file: "internal/pool/astray.go", tests: "./internal/pool",
		old: `if next == "" {`, new: `if true {`,
	},
	{
		name: "seek an instance that is gone for ever", file: "internal/pool/astray.go", tests: "./internal/pool",
		old: `	i.reached++
	n.pool`, new: `	n.pool`,
	},
	{
		name: "take a queue-proxy that is not ready for one that drains", file: "cmd/infinicache-node/queue.go", tests: "./cmd/infinicache-node",
		old: ` && strings.Contains(string(text), draining)`, new: ` && !strings.Contains(string(text), "nothing")`,
	},
	{
		name: "end before the platform's word", file: "cmd/infinicache-node/service.go", tests: "./cmd/infinicache-node",
		old: `		case <-time.After(wordPatience):`, new: `		default:`,
	},
	{
		name: "wait for ever for the platform's word", file: "cmd/infinicache-node/service.go", tests: "./cmd/infinicache-node",
		old: `		case <-time.After(wordPatience):
`, new: ``,
	},
	// Deployment to Knative.
	{
		name: "restart the proxy while pods hand over", file: "internal/deploy/knative/apply.go", tests: knative,
		old: `if err := d.awaitHandover(ctx); err != nil {`, new: `if err := error(nil); err != nil {`,
	},
	{
		name: "replace the proxy by what was not tried", file: "internal/deploy/knative/apply.go", tests: knative,
		old: `if err := d.tryProxy(ctx); err != nil {`, new: `if err := error(nil); err != nil {`,
	},
	{
		name: "wait for pods that never ran", file: "internal/deploy/knative/revision.go", tests: knative,
		old: `return status["name"] == partNode && state["running"] == nil`, new: `return false && state["running"] == nil`,
	},
	{
		name: "wait for ever for pods that stay", file: "internal/deploy/knative/ready.go", tests: knative,
		old: `if time.Since(since) >= d.patience {`, new: `if time.Since(since) < 0 {`,
	},
	{
		name: "leave out spread that is required", file: "internal/deploy/knative/spread.go", tests: knative,
		old: `if d.pool.Spread != Preferred {`, new: `if d.pool.Spread == None {`,
	},
	{
		name: "insist on spread that Knative refuses", file: "internal/deploy/knative/spread.go", tests: knative,
		old: `if err != nil || enabled(value) {`, new: `if err == nil {`,
	},
}
