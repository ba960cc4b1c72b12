package main

import (
	"context"
	"errors"
	"strings"

	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/lambda"
	"github.com/infinicache/infinicache/internal/pricing"
)

// billing is the embedded platform, which costs nothing and is counted as if it
// were another that charges.
type billing struct{ *lambda.Driver }

// Invoke implements platform.Driver.
func (b billing) Invoke(ctx context.Context, node int, payload []byte) (platform.Outcome, error) {
	out, err := b.Driver.Invoke(ctx, node, payload)
	plan := pricing.Plan(b.Capabilities().Price)
	if !plan.BilledStart {
		out.Billed -= out.Init
	}
	out.Billed = plan.Billed(out.Billed, 0)
	var failed *platform.Error
	if errors.As(err, &failed) {
		failed.Outcome = out
	}
	return out, err
}

// tariff is the name of a price list.
func tariff() kind[pricing.Tariff] {
	var names []string
	for _, t := range pricing.Tariffs() {
		names = append(names, t.Name)
	}
	return kind[pricing.Tariff]{
		"NAME", strings.Join(names, ", "),
		pricing.TariffOf,
		func(t pricing.Tariff) string { return t.Name },
	}
}

// lingering is a policy in the form that pricing.ParsePolicy reads.
func lingering() kind[pricing.Policy] {
	return kind[pricing.Policy]{
		"POLICY", pricing.PolicyForms,
		func(s string) (pricing.Policy, bool) {
			p, err := pricing.ParsePolicy(s)
			return p, err == nil
		},
		pricing.Policy.String,
	}
}
