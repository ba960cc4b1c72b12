package emulator

import (
	"fmt"
	"slices"
	"time"
)

// Control describes the management API: how long things take, what the account
// may have, and which calls fail.
type Control struct {
	// CreateTime is how long a created function is pending: it cannot be
	// invoked or changed. At zero it is active when somebody looks again.
	CreateTime time.Duration
	// UpdateTime is how long an update of a function is in progress: no other is
	// taken, and invocations run on what was before. At zero it is done when
	// somebody looks again.
	UpdateTime time.Duration

	// Rate is how many calls per second all operations but GetFunction may make
	// together; zero means 15. Calls above it are refused.
	Rate float64
	// GetFunctionRate is the same for GetFunction; zero means 100.
	GetFunctionRate float64
	// Unthrottled takes calls at any rate.
	Unthrottled bool

	// Concurrency is how many sessions the account may have at once, of which
	// functions can reserve all but MinUnreserved; zero means 1000 and 100. Only
	// reservations are held to it.
	Concurrency, MinUnreserved int

	// Faults are the calls that fail.
	Faults []Fault
}

// Fault is a management call that gets an error in place of its answer.
type Fault struct {
	// Operation is the API's name for it, such as CreateFunction, or empty for
	// any.
	Operation string
	// Call is which call of that operation fails, or of all with an empty
	// Operation, counted from 1; zero means every one. Calls that are throttled
	// count.
	Call int
	// Status is the HTTP status, 400 to 599, and Type the error's name, such as
	// ServiceException.
	Status int
	Type   string
	// Message is for people; it may be empty.
	Message string
	// Late lets the operation take effect all the same: only its answer is lost.
	Late bool
}

// Limits of the real service.
const (
	defaultControlRate     = 15
	defaultGetFunctionRate = 100
	defaultConcurrency     = 1000
	defaultMinUnreserved   = 100
)

func (c Control) withDefaults() Control {
	if c.Rate == 0 {
		c.Rate = defaultControlRate
	}
	if c.GetFunctionRate == 0 {
		c.GetFunctionRate = defaultGetFunctionRate
	}
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.MinUnreserved == 0 {
		c.MinUnreserved = defaultMinUnreserved
	}
	c.Faults = slices.Clone(c.Faults)
	return c
}

// validate passes every bad field to bad.
func (c Control) validate(bad func(field string, given any, allowed string)) {
	if c.CreateTime < 0 {
		bad("Control.CreateTime", c.CreateTime, "0 or more")
	}
	if c.UpdateTime < 0 {
		bad("Control.UpdateTime", c.UpdateTime, "0 or more")
	}
	if !(c.Rate > 0) {
		bad("Control.Rate", c.Rate, "0 or more")
	}
	if !(c.GetFunctionRate > 0) {
		bad("Control.GetFunctionRate", c.GetFunctionRate, "0 or more")
	}
	if c.Concurrency < 0 {
		bad("Control.Concurrency", c.Concurrency, "0 or more")
	}
	if c.MinUnreserved < 0 {
		bad("Control.MinUnreserved", c.MinUnreserved, "0 or more")
	}
	for i, f := range c.Faults {
		field := fmt.Sprintf("Control.Faults[%d]", i)
		if f.Call < 0 {
			bad(field+".Call", f.Call, "0 or more")
		}
		if f.Status < 400 || f.Status > 599 {
			bad(field+".Status", f.Status, "400 to 599")
		}
		if f.Type == "" {
			bad(field+".Type", `""`, "an error's name")
		}
		if f.Operation != "" && !slices.Contains(operationNames(), f.Operation) {
			bad(field+".Operation", fmt.Sprintf("%q", f.Operation), "an operation that is served, or empty")
		}
	}
}

// injected finds the fault that befalls a call, which is the so-manieth of its
// operation and of all; nil if none does.
func (c Control) injected(operation string, ofOperation, ofAll int) *Fault {
	for i, f := range c.Faults {
		call := ofOperation
		if f.Operation == "" {
			call = ofAll
		}
		if (f.Operation == "" || f.Operation == operation) && (f.Call == 0 || f.Call == call) {
			return &c.Faults[i]
		}
	}
	return nil
}
