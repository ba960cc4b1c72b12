package emulator

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits of a function's settings, and what it has without any.
const (
	minFunctionMemory, maxFunctionMemory = 128, 10_240 // MB
	defaultTimeout, maxTimeoutSeconds    = 3, 900
	minEphemeral, maxEphemeral           = 512, 10_240 // MB
	maxDescription                       = 256
	maxHandler                           = 128
	maxSubnets, maxSecurityGroups        = 16, 5

	logText = "Text"
	logJSON = "JSON"
)

// settings are the members that a creation and an update of the configuration
// have in common. Nil leaves a setting as it is.
type settings struct {
	Description      *string
	Environment      *environment
	EphemeralStorage *ephemeralStorage
	Handler          *string
	LoggingConfig    *loggingConfig
	MemorySize       *int
	Role             *string
	Runtime          *string
	Timeout          *int
	VpcConfig        *vpcConfig

	// SnapStart and TracingConfig may say only that there is none.
	SnapStart     *struct{ ApplyOn string }
	TracingConfig *tracingConfig

	notServed
}

// notServed are members of the real service for what this platform does not
// have.
type notServed struct {
	CapacityProviderConfig, CodeSigningConfigArn, DeadLetterConfig, DurableConfig, FileSystemConfigs,
	ImageConfig, KMSKeyArn, Layers, PublishTo json.RawMessage
	Publish bool
}

type environment struct{ Variables map[string]string }

type ephemeralStorage struct{ Size int }

type loggingConfig struct {
	ApplicationLogLevel string `json:",omitempty"`
	LogFormat           string
	LogGroup            string
	SystemLogLevel      string `json:",omitempty"`
}

type vpcConfig struct {
	Ipv6AllowedForDualStack bool
	SecurityGroupIds        []string
	SubnetIds               []string
}

type tenancyConfig struct{ TenantIsolationMode string }

var (
	functionName  = regexp.MustCompile(`^[a-zA-Z0-9\-_]{1,64}$`)
	rolePattern   = regexp.MustCompile(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	handlerForm   = regexp.MustCompile(`^\S+$`)
	subnetID      = regexp.MustCompile(`^subnet-[0-9a-z]*$`)
	securityGroup = regexp.MustCompile(`^sg-[0-9a-zA-Z]*$`)
	logGroupName  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	variableName  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

	runtimes      = []string{"provided.al2", "provided.al2023"}
	architectures = []string{archX86, archARM}
	logFormats    = []string{logText, logJSON}
	appLogLevels  = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
	sysLogLevels  = []string{"DEBUG", "INFO", "WARN"}

	// reservedVariables are set by the platform alone.
	reservedVariables = []string{
		"_HANDLER", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
		"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
		"AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY",
		"AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT",
	}
)

// withDefaults fills in what a function of that name has.
func (c loggingConfig) withDefaults(name string) loggingConfig {
	c.LogFormat = cmp.Or(c.LogFormat, logText)
	c.LogGroup = cmp.Or(c.LogGroup, "/aws/lambda/"+name)
	if c.LogFormat == logJSON {
		c.ApplicationLogLevel = cmp.Or(c.ApplicationLogLevel, "INFO")
		c.SystemLogLevel = cmp.Or(c.SystemLogLevel, "INFO")
	}
	return c
}

// apply returns def with the settings that are given, for the function of that
// name.
func (s *settings) apply(def definition, name string) *definition {
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&def.description, s.Description)
	set(&def.handler, s.Handler)
	set(&def.role, s.Role)
	set(&def.runtime, s.Runtime)
	if s.Environment != nil {
		def.env = maps.Clone(s.Environment.Variables)
	}
	if s.EphemeralStorage != nil {
		def.ephemeral = s.EphemeralStorage.Size
	}
	if s.LoggingConfig != nil {
		def.logging = s.LoggingConfig.withDefaults(name)
	}
	if s.MemorySize != nil {
		def.memory = int64(*s.MemorySize) << 20
	}
	if s.Timeout != nil {
		def.timeout = time.Duration(*s.Timeout) * time.Second
	}
	if s.VpcConfig != nil {
		def.vpc = *s.VpcConfig
	}
	return &def
}

// check refuses settings that the real service refuses, and those that this
// platform does not have.
func (s *settings) check() *fault {
	var v violations
	v.length("description", s.Description, maxDescription)
	v.length("handler", s.Handler, maxHandler)
	v.pattern("handler", s.Handler, handlerForm)
	v.pattern("role", s.Role, rolePattern)
	v.within("memorySize", s.MemorySize, minFunctionMemory, maxFunctionMemory)
	v.within("timeout", s.Timeout, 1, maxTimeoutSeconds)
	if s.EphemeralStorage != nil {
		v.within("ephemeralStorage.size", &s.EphemeralStorage.Size, minEphemeral, maxEphemeral)
	}
	if s.Environment != nil {
		for name := range s.Environment.Variables {
			v.pattern("environment.variables", &name, variableName)
		}
	}
	if l := s.LoggingConfig; l != nil {
		v.oneOf("loggingConfig.logFormat", l.LogFormat, logFormats)
		v.oneOf("loggingConfig.applicationLogLevel", l.ApplicationLogLevel, appLogLevels)
		v.oneOf("loggingConfig.systemLogLevel", l.SystemLogLevel, sysLogLevels)
		if l.LogGroup != "" {
			v.pattern("loggingConfig.logGroup", &l.LogGroup, logGroupName)
		}
	}
	if c := s.VpcConfig; c != nil {
		v.atMost("vpcConfig.subnetIds", len(c.SubnetIds), maxSubnets)
		v.atMost("vpcConfig.securityGroupIds", len(c.SecurityGroupIds), maxSecurityGroups)
		for _, id := range c.SubnetIds {
			v.pattern("vpcConfig.subnetIds", &id, subnetID)
		}
		for _, id := range c.SecurityGroupIds {
			v.pattern("vpcConfig.securityGroupIds", &id, securityGroup)
		}
	}
	if len(v) > 0 {
		return invalid(v)
	}
	return s.checkTogether()
}

// checkTogether is about what the API's model allows one by one.
func (s *settings) checkTogether() *fault {
	if f := s.refuse(); f != nil {
		return f
	}
	if s.SnapStart != nil && s.SnapStart.ApplyOn != "None" && s.SnapStart.ApplyOn != "" {
		return badParameter("SnapStart is not supported for the %s runtime", runtimes[1])
	}
	if s.TracingConfig != nil && s.TracingConfig.Mode != "PassThrough" && s.TracingConfig.Mode != "" {
		return badParameter("TracingConfig: %s is not served by this platform", s.TracingConfig.Mode)
	}
	if s.Runtime != nil && !slices.Contains(runtimes, *s.Runtime) {
		return badParameter("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [%s] or be a valid ARN",
			*s.Runtime, strings.Join(runtimes, ", "))
	}
	if l := s.LoggingConfig; l != nil && l.LogFormat != logJSON && (l.ApplicationLogLevel != "" || l.SystemLogLevel != "") {
		return badParameter("Log levels can only be set if the log format is %s", logJSON)
	}
	if c := s.VpcConfig; c != nil && (len(c.SubnetIds) == 0) != (len(c.SecurityGroupIds) == 0) {
		return badParameter("SubnetIds and SecurityIds must coexist or be both empty list.")
	}
	if s.Environment != nil {
		return s.Environment.check()
	}
	return nil
}

func (e *environment) check() *fault {
	const unable = "Lambda was unable to configure your environment variables because the environment variables you have provided "
	var taken []string
	for _, name := range reservedVariables {
		if _, ok := e.Variables[name]; ok {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		return badParameter("%scontains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s",
			unable, strings.Join(taken, ", "))
	}
	text, err := json.Marshal(e.Variables)
	if err != nil {
		panic(err) // strings only
	}
	if len(text) > maxEnv {
		return badParameter("%sexceeded the 4KB limit. String measured: %s", unable, text)
	}
	for name, value := range e.Variables {
		if strings.Contains(value, "\x00") {
			return badParameter("%scontain a zero byte: %s", unable, name)
		}
	}
	return nil
}

// refuse tells of the first member that is given and not served.
func (n *notServed) refuse() *fault {
	for _, m := range []struct {
		name  string
		value json.RawMessage
	}{
		{"CapacityProviderConfig", n.CapacityProviderConfig}, {"CodeSigningConfigArn", n.CodeSigningConfigArn},
		{"DeadLetterConfig", n.DeadLetterConfig}, {"DurableConfig", n.DurableConfig}, {"FileSystemConfigs", n.FileSystemConfigs},
		{"ImageConfig", n.ImageConfig}, {"KMSKeyArn", n.KMSKeyArn}, {"Layers", n.Layers}, {"PublishTo", n.PublishTo},
	} {
		switch string(m.value) {
		case "", "null", `""`, "[]", "{}":
		default:
			return badParameter("%s is not served by this platform", m.name)
		}
	}
	if n.Publish {
		return badParameter("Publish is not served by this platform: there are no versions but %s", version)
	}
	return nil
}
