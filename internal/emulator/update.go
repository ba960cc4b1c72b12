package emulator

// updateCodeRequest is what UpdateFunctionCode takes.
type updateCodeRequest struct {
	packageSource
	notServed
	Architectures []string
	DryRun        bool
	RevisionID    string `json:"RevisionId"`
}

func (in *updateCodeRequest) check() *fault {
	var v violations
	v.atMost("architectures", len(in.Architectures), 1)
	for _, a := range in.Architectures {
		v.oneOf("architectures", a, architectures)
	}
	if len(v) > 0 {
		return invalid(v)
	}
	if f := in.notServed.refuse(); f != nil {
		return f
	}
	return in.packageSource.check()
}

// updateConfigurationRequest is what UpdateFunctionConfiguration takes.
type updateConfigurationRequest struct {
	settings
	RevisionID string `json:"RevisionId"`
}

func (e *Emulator) updateFunctionCode(r request) (any, *fault) {
	var in updateCodeRequest
	if f := r.decode(&in); f != nil {
		return nil, f
	}
	if f := in.check(); f != nil {
		return nil, f
	}
	code, f := e.store(in.ZipFile)
	if f != nil {
		return nil, f
	}
	defer e.letGo(code)

	return e.change(r, in.RevisionID, in.DryRun, func(fn *function) *definition {
		def := *fn.def
		def.code = code
		if len(in.Architectures) > 0 {
			def.architecture = in.Architectures[0]
		}
		return &def
	})
}

func (e *Emulator) updateFunctionConfiguration(r request) (any, *fault) {
	var in updateConfigurationRequest
	if f := r.decode(&in); f != nil {
		return nil, f
	}
	if f := in.check(); f != nil {
		return nil, f
	}
	return e.change(r, in.RevisionID, false, func(fn *function) *definition {
		return in.apply(*fn.def, fn.name)
	})
}

// change updates the function that a request is about to what next says, unless
// it is only a trial.
func (e *Emulator) change(r request, revision string, trial bool, next func(*function) *definition) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.find(r)
	if f != nil {
		return nil, f
	}
	if f := fn.changeable(); f != nil {
		return nil, f
	}
	if revision != "" && revision != fn.revision {
		return nil, otherRevision()
	}
	def := next(fn)
	if trial {
		c := fn.describe()
		c.CodeSha256, c.CodeSize, c.Architectures = def.code.sha256(), def.code.size, []string{def.architecture}
		return c, nil
	}
	e.update(fn, def)
	return fn.describe(), nil
}
