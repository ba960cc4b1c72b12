package emulator

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// logGroup is one of CloudWatch Logs: a name and how long it keeps what it gets,
// which here is nothing. Emulator.mu guards it.
type logGroup struct {
	name    string
	created time.Time
	days    int // of retention; 0 means for ever
}

const (
	logsTarget   = "Logs_20140328."
	maxLogGroups = 100_000
)

// retentions are the days for which a log group can keep what it gets.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// logOperations are those of log groups that are served: as much as a deployment
// needs.
var logOperations = map[string]func(*Emulator, logRequest) (any, *fault){
	"CreateLogGroup":        (*Emulator).createLogGroup,
	"DeleteLogGroup":        (*Emulator).deleteLogGroup,
	"DescribeLogGroups":     (*Emulator).describeLogGroups,
	"PutRetentionPolicy":    (*Emulator).putRetentionPolicy,
	"DeleteRetentionPolicy": (*Emulator).deleteRetentionPolicy,
}

// logRequest has the members of all of them.
type logRequest struct {
	LogGroupName       string `json:"logGroupName"`
	LogGroupClass      string `json:"logGroupClass"`
	LogGroupNamePrefix string `json:"logGroupNamePrefix"`
	Limit              *int   `json:"limit"`
	NextToken          string `json:"nextToken"`
	RetentionInDays    *int   `json:"retentionInDays"`
}

// serveLogs serves CloudWatch Logs, whose protocol names the operation in a
// header.
func (e *Emulator) serveLogs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", newID())
	out, f := e.logs(r)
	status := http.StatusOK
	if f != nil {
		status, out = f.status, logFault{f.kind, f.fields[messageField(f.kind)]}
	}
	writeJSONAs(w, "application/x-amz-json-1.1", status, out)
}

// logFault is how the protocol writes an error.
type logFault struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

func (e *Emulator) logs(r *http.Request) (any, *fault) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), logsTarget)
	run := logOperations[name]
	if run == nil {
		return nil, noSuchOperation()
	}
	if !e.begin() {
		return nil, serviceStopped()
	}
	defer e.tasks.Done()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxControlRequest+1))
	if err != nil || len(body) > maxControlRequest {
		return nil, badLogParameter("the request cannot be read")
	}
	var in logRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, refuse(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	injected := e.count(name)
	if injected != nil && !injected.Late {
		return nil, injected.fault()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out, f := run(e, in)
	if injected != nil {
		return nil, injected.fault()
	}
	return out, f
}

// The operations' callers hold e.mu.

func (e *Emulator) createLogGroup(in logRequest) (any, *fault) {
	if !logGroupName.MatchString(in.LogGroupName) {
		return nil, badLogParameter("logGroupName must match " + logGroupName.String())
	}
	if e.logGroups[in.LogGroupName] != nil {
		return nil, refuse(http.StatusBadRequest, "ResourceAlreadyExistsException", "The specified log group already exists")
	}
	if len(e.logGroups) >= maxLogGroups {
		return nil, refuse(http.StatusBadRequest, "LimitExceededException", "Resource limit exceeded.")
	}
	e.addLogGroup(in.LogGroupName)
	return struct{}{}, nil
}

// addLogGroup is also what the first instance of a function does. The caller
// holds e.mu.
func (e *Emulator) addLogGroup(name string) {
	if e.logGroups[name] == nil && len(e.logGroups) < maxLogGroups {
		e.logGroups[name] = &logGroup{name: name, created: time.Now()}
	}
}

func (e *Emulator) deleteLogGroup(in logRequest) (any, *fault) {
	g, f := e.logGroup(in)
	if f != nil {
		return nil, f
	}
	delete(e.logGroups, g.name)
	return struct{}{}, nil
}

func (e *Emulator) putRetentionPolicy(in logRequest) (any, *fault) {
	if in.RetentionInDays == nil || !slices.Contains(retentions, *in.RetentionInDays) {
		return nil, badLogParameter("retentionInDays is not one of the days that are allowed")
	}
	g, f := e.logGroup(in)
	if f != nil {
		return nil, f
	}
	g.days = *in.RetentionInDays
	return struct{}{}, nil
}

func (e *Emulator) deleteRetentionPolicy(in logRequest) (any, *fault) {
	g, f := e.logGroup(in)
	if f != nil {
		return nil, f
	}
	g.days = 0
	return struct{}{}, nil
}

func (e *Emulator) describeLogGroups(in logRequest) (any, *fault) {
	size := maxPage
	if in.Limit != nil {
		if size = *in.Limit; size < 1 || size > maxPage {
			return nil, badLogParameter("limit must be from 1 to 50")
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil {
		return nil, badLogParameter("The specified nextToken is invalid.")
	}
	type group struct {
		Arn               string `json:"arn"`
		CreationTime      int64  `json:"creationTime"`
		LogGroupArn       string `json:"logGroupArn"`
		LogGroupClass     string `json:"logGroupClass"`
		LogGroupName      string `json:"logGroupName"`
		MetricFilterCount int    `json:"metricFilterCount"`
		RetentionInDays   int    `json:"retentionInDays,omitempty"`
		StoredBytes       int64  `json:"storedBytes"`
	}
	out := struct {
		LogGroups []group `json:"logGroups"`
		NextToken string  `json:"nextToken,omitempty"`
	}{LogGroups: []group{}}
	all := slices.SortedFunc(maps.Values(e.logGroups), func(a, b *logGroup) int { return cmp.Compare(a.name, b.name) })
	all = slices.DeleteFunc(all, func(g *logGroup) bool { return !strings.HasPrefix(g.name, in.LogGroupNamePrefix) })
	page, more := pageAfter(all, string(after), size, func(g *logGroup) string { return g.name })
	for _, g := range page {
		arn := "arn:aws:logs:" + region + ":" + account + ":log-group:" + g.name
		out.LogGroups = append(out.LogGroups, group{
			Arn: arn + ":*", LogGroupArn: arn, LogGroupClass: "STANDARD", LogGroupName: g.name,
			CreationTime: g.created.UnixMilli(), RetentionInDays: g.days,
		})
	}
	if more {
		out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(page[len(page)-1].name))
	}
	return out, nil
}

func (e *Emulator) logGroup(in logRequest) (*logGroup, *fault) {
	if in.LogGroupName == "" {
		return nil, badLogParameter("logGroupName must not be null")
	}
	g := e.logGroups[in.LogGroupName]
	if g == nil {
		return nil, refuse(http.StatusBadRequest, "ResourceNotFoundException", "The specified log group does not exist.")
	}
	return g, nil
}

func badLogParameter(message string) *fault {
	return refuse(http.StatusBadRequest, "InvalidParameterException", "%s", message)
}
