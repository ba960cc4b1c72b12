package emulator

// concurrency is what a function has reserved.
type concurrency struct {
	ReservedConcurrentExecutions *int `json:",omitempty"`
}

func (e *Emulator) putFunctionConcurrency(r request) (any, *fault) {
	var in concurrency
	if f := r.decode(&in); f != nil {
		return nil, f
	}
	n := in.ReservedConcurrentExecutions
	switch {
	case n == nil:
		return nil, invalid([]string{missing("reservedConcurrentExecutions")})
	case *n < 0:
		return nil, invalid([]string{between("reservedConcurrentExecutions", *n, 0, e.cfg.Control.Concurrency)})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.find(r)
	if f != nil {
		return nil, f
	}
	left := e.unreserved() - *n
	if fn.reserved != nil {
		left += *fn.reserved
	}
	if *n > 0 && left < e.cfg.Control.MinUnreserved {
		return nil, badParameter("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].",
			e.cfg.Control.MinUnreserved)
	}
	fn.reserved = n
	return in, nil
}

func (e *Emulator) getFunctionConcurrency(r request) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.find(r)
	if f != nil {
		return nil, f
	}
	return concurrency{fn.reserved}, nil
}

func (e *Emulator) deleteFunctionConcurrency(r request) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.find(r)
	if f != nil {
		return nil, f
	}
	fn.reserved = nil
	return nil, nil
}

// unreserved is how much concurrency no function has for itself. The caller
// holds e.mu.
func (e *Emulator) unreserved() int {
	left := e.cfg.Control.Concurrency
	for _, fn := range e.functions {
		if fn.reserved != nil {
			left -= *fn.reserved
		}
	}
	return left
}

func (e *Emulator) getAccountSettings(request) (any, *fault) {
	type limit struct {
		CodeSizeUnzipped, CodeSizeZipped, ConcurrentExecutions, TotalCodeSize, UnreservedConcurrentExecutions int64
	}
	type usage struct{ FunctionCount, TotalCodeSize int64 }
	e.mu.Lock()
	defer e.mu.Unlock()
	out := struct {
		AccountLimit limit
		AccountUsage usage
	}{
		limit{
			CodeSizeUnzipped: maxUnzipped, CodeSizeZipped: maxZip, TotalCodeSize: maxStored,
			ConcurrentExecutions:           int64(e.cfg.Control.Concurrency),
			UnreservedConcurrentExecutions: int64(max(0, e.unreserved())),
		},
		usage{FunctionCount: int64(len(e.functions))},
	}
	for _, fn := range e.functions {
		out.AccountUsage.TotalCodeSize += fn.latest().code.size
	}
	return out, nil
}
