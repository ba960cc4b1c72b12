package emulator

import (
	"encoding/json"
	"maps"
	"time"
)

// createRequest is what CreateFunction takes.
type createRequest struct {
	settings
	Architectures []string
	Code          *packageSource
	FunctionName  string
	PackageType   string
	Tags          map[string]string
	TenancyConfig *tenancyConfig
}

// packageSource says where a deployment package comes from: with the request.
type packageSource struct {
	ZipFile  []byte          // base64 in JSON
	ImageURI json.RawMessage `json:"ImageUri"`

	S3Bucket, S3Key, S3ObjectVersion, S3ObjectStorageMode, SourceKMSKeyArn json.RawMessage
}

func (s *packageSource) check() *fault {
	for _, given := range []json.RawMessage{s.ImageURI, s.S3Bucket, s.S3Key, s.S3ObjectVersion, s.S3ObjectStorageMode, s.SourceKMSKeyArn} {
		switch string(given) {
		case "", "null", `""`:
		default:
			return badParameter("Code is served by this platform as ZipFile only")
		}
	}
	if len(s.ZipFile) == 0 {
		return badParameter("Please provide a source for function code.")
	}
	return nil
}

func (in *createRequest) check() *fault {
	var v violations
	name, qualifier := splitName(in.FunctionName)
	v.pattern("functionName", &name, functionName)
	v.required("role", in.Role != nil)
	v.required("code", in.Code != nil)
	v.oneOf("packageType", in.PackageType, []string{"Zip", "Image"})
	v.atMost("architectures", len(in.Architectures), 1)
	for _, a := range in.Architectures {
		v.oneOf("architectures", a, architectures)
	}
	if in.TenancyConfig != nil {
		v.required("tenancyConfig.tenantIsolationMode", in.TenancyConfig.TenantIsolationMode != "")
		v.oneOf("tenancyConfig.tenantIsolationMode", in.TenancyConfig.TenantIsolationMode, []string{perTenant})
	}
	if len(v) > 0 {
		return invalid(v)
	}
	switch {
	case qualifier != "":
		return badParameter("FunctionName must not have a qualifier: %s", in.FunctionName)
	case in.PackageType == "Image":
		return badParameter("PackageType Image is not served by this platform")
	case in.Runtime == nil || in.Handler == nil:
		return badParameter("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	if f := in.settings.check(); f != nil {
		return f
	}
	if f := checkTags(in.Tags); f != nil {
		return f
	}
	return in.Code.check()
}

func (e *Emulator) createFunction(r request) (any, *fault) {
	var in createRequest
	if f := r.decode(&in); f != nil {
		return nil, f
	}
	if f := in.check(); f != nil {
		return nil, f
	}
	name, _ := splitName(in.FunctionName)
	if e.lookup(name) != nil {
		return nil, functionExists(name) // before the work of unzipping
	}
	code, f := e.store(in.Code.ZipFile)
	if f != nil {
		return nil, f
	}
	defer e.letGo(code)

	now := time.Now()
	def := in.apply(definition{
		code: code, memory: minFunctionMemory << 20, timeout: defaultTimeout * time.Second, ephemeral: minEphemeral,
		architecture: archX86, logging: loggingConfig{}.withDefaults(name), modified: now,
	}, name)
	if len(in.Architectures) > 0 {
		def.architecture = in.Architectures[0]
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.byName[name] != nil:
		return nil, functionExists(name)
	case len(e.functions) >= MaxNodes:
		return nil, codeStorageExceeded()
	}
	fn := newFunction(e.cfg, name, deployment{
		def: def, pending: true, settles: now.Add(e.cfg.Control.CreateTime), revision: newID(),
		perTenant: in.TenancyConfig != nil, tags: maps.Clone(in.Tags),
	})
	e.add(fn)
	return fn.describe(), nil
}

// deleteFunction removes a function at once. Its idle instances are taken away;
// those in session go when the session ends.
func (e *Emulator) deleteFunction(r request) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.find(r)
	if f != nil {
		return nil, f
	}
	e.remove(fn)
	e.retire(fn.pick(func(inst *instance) bool { return inst.idle() }))
	return nil, nil
}
