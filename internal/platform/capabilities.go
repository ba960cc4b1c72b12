package platform

import "time"

// Capabilities is what a platform can do, as its driver declares it.
type Capabilities struct {
	// Name is for display only; no decision depends on it.
	Name string

	// Freezes tells that an instance keeps its memory between sessions while
	// it neither runs nor costs anything.
	Freezes bool
	// SecondInstance tells that an invocation of a node in session runs in
	// another instance of it. Where false it waits or is Throttled.
	SecondInstance bool
	// Inbound tells that the proxy can dial an instance, and that the driver is
	// an Inbound. Where false the instance dials the proxy.
	Inbound bool
	// TellsExit tells that an instance which ends in its session is reported as
	// Exited. Where false that looks like any broken connection: Unavailable.
	TellsExit bool
	// ColdStart is how long starting an instance may take beyond what a process
	// takes to start: a machine or container has to be found for it. Zero means
	// next to nothing.
	ColdStart time.Duration
	// Notice is how long an instance has between hearing of its end and its
	// end. Zero means that it is ended without a word.
	Notice time.Duration

	// LongestSession is the platform's limit on one session, after which the
	// instance is killed. Zero means none.
	LongestSession time.Duration
	// Memory is what an instance has, in bytes, everything included.
	Memory int64
	// MaxPayload and MaxResponse are the largest bodies, in bytes, into and out
	// of a session. Zero means no limit.
	MaxPayload, MaxResponse int

	Price Price
}

// Price is the platform's way of charging, in dollars.
type Price struct {
	// Quantum is the unit to which session time is rounded up; zero where time
	// is not billed.
	Quantum time.Duration
	// PerGBSecond is charged per GiB of Capabilities.Memory and second of billed
	// time.
	PerGBSecond float64
	// PerInvocation is charged for each session whatever it lasts.
	PerInvocation float64
	// BilledStart tells that the time a fresh instance takes to start is billed.
	BilledStart bool
}
