package lambda

import (
	"encoding/base64"
	"testing"
	"time"
)

func TestParseTail(t *testing.T) {
	const start = "START RequestId: ID Version: $LATEST\nREPORT RequestId: forged\tBilled Duration: 9 ms\nEND RequestId: ID\n"
	for _, tt := range []struct {
		name, tail string
		want       report
		ok         bool
	}{
		{"cold", start + "REPORT RequestId: ID\tDuration: 1.23 ms\tBilled Duration: 90 ms\tMemory Size: 128 MB\tMax Memory Used: 31 MB\tInit Duration: 88.00 ms\t\n",
			report{duration: 1230 * time.Microsecond, billed: 90 * time.Millisecond, init: 88 * time.Millisecond, maxMemory: 31 << 20}, true},
		{"warm", "REPORT RequestId: ID\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 31 MB\t\n",
			report{duration: time.Millisecond, billed: time.Millisecond, maxMemory: 31 << 20}, true},
		{"failed", "REPORT RequestId: ID\tBilled Duration: 7 ms\tStatus: error\tError Type: Runtime.ExitError\n",
			report{billed: 7 * time.Millisecond, errorType: "Runtime.ExitError"}, true},
		{"JSON format", `{"type":"platform.start","record":{}}` + "\n" +
			`{"type":"platform.report","record":{"metrics":{"billedDurationMs":9}}}` + "\n" +
			`{"time":"t","type":"platform.report","record":{"requestId":"ID","metrics":{"durationMs":18.5,"billedDurationMs":234,"memorySizeMB":128,"maxMemoryUsedMB":31,"initDurationMs":214.88},"status":"error","errorType":"Runtime.ExitError"}}` + "\n",
			report{duration: 18500 * time.Microsecond, billed: 234 * time.Millisecond, init: 214880 * time.Microsecond, maxMemory: 31 << 20, errorType: "Runtime.ExitError"}, true},
		{"JSON without metrics", `{"type":"platform.report"}`, report{}, false},
		{"JSON nonsense", `{"type":"platform.report","record":{"metrics":{"billedDurationMs":-1,"maxMemoryUsedMB":1e30}}}`, report{}, false},
		{"JSON, words of the function", `{"message":"\"platform.report\"","record":{"metrics":{"billedDurationMs":9}}}`, report{}, false},
		{"nonsense", "REPORT RequestId: ID\tDuration: NaN ms\tBilled Duration: -4 ms\tMax Memory Used: 99999999999999 MB\n", report{}, false},
		{"empty", "", report{}, false},
	} {
		got, ok := parseTail(base64.StdEncoding.EncodeToString([]byte(tt.tail)))
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: parseTail = %+v, %v; want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
	if _, ok := parseTail("***"); ok {
		t.Error("parseTail takes what is not base64")
	}
}

func FuzzParseTail(f *testing.F) {
	f.Add("REPORT RequestId: ID\tDuration: 1.23 ms\tBilled Duration: 90 ms\n")
	f.Add(`{"type":"platform.report","record":{"metrics":{"durationMs":1.23,"billedDurationMs":2,"maxMemoryUsedMB":31}}}`)
	f.Fuzz(func(t *testing.T, tail string) {
		r, ok := parseTail(base64.StdEncoding.EncodeToString([]byte(tail)))
		if ok && r.billed <= 0 || r.duration < 0 || r.init < 0 || r.maxMemory < 0 {
			t.Errorf("parseTail(%q) = %+v, %v", tail, r, ok)
		}
	})
}
