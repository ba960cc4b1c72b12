package main

import (
	"time"

	"github.com/infinicache/infinicache/internal/platform"
)

// listPrice is what AWS Lambda charges for x86 in us-east-1: the public list
// price of November 2026 (aws.amazon.com/lambda/pricing). The embedded platform
// costs nothing and is counted as if it were that service.
var listPrice = platform.Price{
	Quantum:       time.Millisecond,
	PerGBSecond:   0.0000166667,
	PerInvocation: 0.20 / 1e6,
	BilledStart:   true,
}

const listPriceName = "AWS Lambda"

// dollars is what so many sessions with so many seconds billed together cost in
// functions of memory bytes.
func dollars(p platform.Price, memory int64, sessions uint64, seconds float64) float64 {
	return seconds*float64(memory)/(1<<30)*p.PerGBSecond + float64(sessions)*p.PerInvocation
}
