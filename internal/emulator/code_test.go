package emulator

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

type zipped struct {
	name string
	mode os.FileMode
	text []byte
}

func zipOf(files ...zipped) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode)
		to, err := w.CreateHeader(h)
		if err == nil {
			_, err = to.Write(f.text)
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// nodeZip is a package whose function is this test binary, by way of a script:
// the binary itself is large.
func nodeZip(t *testing.T) []byte {
	t.Helper()
	return zipOf(zipped{"bootstrap", 0o755, []byte("#!/bin/sh\nexec '" + self(t) + "'\n")})
}

// binaryZip is a package of this test binary.
func binaryZip(t *testing.T) []byte {
	t.Helper()
	program, err := os.ReadFile(self(t))
	if err != nil {
		t.Fatal(err)
	}
	return zipOf(zipped{"bootstrap", 0o755, program})
}

func TestUpdateCode(t *testing.T) {
	_, c := emptyPlatform(t, Control{})
	c.create(t, creation("f", nodeZip(t)))
	c.active(t, "f")
	c.ok(t, "f", `{"op":"echo"}`)
	script := zipOf(zipped{"bootstrap", 0o755, []byte("#!/bin/sh\nexit 9\n")}, zipped{"lib/", os.ModeDir | 0o755, nil}, zipped{"lib/data", 0o644, []byte("x")})
	update := &sdk.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: script, DryRun: true}
	dry, err := c.UpdateFunctionCode(t.Context(), update)
	if err != nil || dry.LastUpdateStatus != types.LastUpdateStatusSuccessful {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	c.ok(t, "f", `{"op":"echo"}`)
	update.DryRun = false
	wet, err := c.UpdateFunctionCode(t.Context(), update)
	if err != nil || *wet.CodeSha256 != *dry.CodeSha256 || wet.CodeSize != int64(len(script)) {
		t.Fatalf("update: %+v, %v", wet, err)
	}
	c.updated(t, "f")
	out, err := c.invoke(t, "f", `{}`)
	if err != nil || !strings.Contains(string(out.Payload), "exit status 9") {
		t.Errorf("new code: %s, %v", out.Payload, err)
	}
}

// TestCodeThatDoesNotRun: creation takes it, as on the real service; invocations
// fail.
func TestCodeThatDoesNotRun(t *testing.T) {
	_, c := emptyPlatform(t, Control{})
	foreign := types.ArchitectureArm64
	if hostArchitecture() == archARM {
		foreign = types.ArchitectureX8664
	}
	for i, tt := range []struct {
		name string
		code []byte
		arch types.Architecture
		want string
	}{
		{"foreign architecture", binaryZip(t), foreign, "fork/exec /var/task/bootstrap: exec format error"},
		{"not executable", zipOf(zipped{"bootstrap", 0o644, []byte("#!/bin/sh\n")}), "", "fork/exec /var/task/bootstrap: permission denied"},
		{"no bootstrap", zipOf(zipped{"main", 0o755, []byte("#!/bin/sh\n")}), "", "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"},
	} {
		in := creation(fmt.Sprint("f", i), tt.code)
		if tt.arch != "" {
			in.Architectures = []types.Architecture{tt.arch}
		}
		c.create(t, in)
		c.active(t, *in.FunctionName)
		out, err := c.invoke(t, *in.FunctionName, `{}`)
		if err != nil || aws.ToString(out.FunctionError) != "Unhandled" || !strings.Contains(string(out.Payload), tt.want) {
			t.Errorf("%s: %s, %v", tt.name, out.Payload, err)
		}
	}
}

func TestBadCode(t *testing.T) {
	e, c := emptyPlatform(t, Control{Unthrottled: true})
	// claiming says in its directory that its one file has another size.
	claiming := func(size uint32) []byte {
		z := zipOf(zipped{"bootstrap", 0o755, bytes.Repeat([]byte{7}, 1000)})
		binary.LittleEndian.PutUint32(z[bytes.LastIndex(z, []byte("PK\x01\x02"))+24:], size)
		return z
	}
	const unzip = "Could not unzip uploaded file"
	for name, tt := range map[string]struct {
		code []byte
		want string
	}{
		"no zip":         {[]byte("PK and nothing"), unzip},
		"empty zip":      {zipOf(), unzip},
		"path upwards":   {zipOf(zipped{"../../bootstrap", 0o755, nil}), unzip},
		"absolute path":  {zipOf(zipped{"/bootstrap", 0o755, nil}), unzip},
		"link":           {zipOf(zipped{"bootstrap", os.ModeSymlink | 0o777, []byte("/bin/sh")}), unzip},
		"twice":          {zipOf(zipped{"bootstrap", 0o755, nil}, zipped{"bootstrap", 0o755, nil}), unzip},
		"claims less":    {claiming(10), unzip},
		"claims more":    {claiming(2000), unzip},
		"large unzipped": {claiming(maxUnzipped + 1), "Unzipped size must be smaller than 262144000 bytes"},
	} {
		_, err := c.CreateFunction(t.Context(), creation("f", tt.code))
		refused(t, name, err, "InvalidParameterValueException", tt.want)
	}
	_, err := c.CreateFunction(t.Context(), creation("f", make([]byte, maxZip+1)))
	refused(t, "large zip", err, "RequestEntityTooLargeException", "Zipped size must be smaller than 52428800 bytes")
	_, err = c.CreateFunction(t.Context(), creation("f", make([]byte, 53<<20)))
	refused(t, "large request", err, "RequestEntityTooLargeException", "Request must be smaller than 70167211 bytes for the CreateFunction operation")
	if left, err := os.ReadDir(e.dir + "/code"); err == nil && len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestCodeIsShared: functions of the same package have one copy of it, which goes
// when the last of them does and another comes.
func TestCodeIsShared(t *testing.T) {
	e, c := emptyPlatform(t, Control{})
	one := zipOf(zipped{"bootstrap", 0o755, []byte("#!/bin/sh\nexit 1\n")})
	other := zipOf(zipped{"bootstrap", 0o755, []byte("#!/bin/sh\nexit 2\n")})
	c.create(t, creation("a", one))
	c.create(t, creation("b", one))
	stored := func() int {
		all, err := os.ReadDir(e.dir + "/code")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := stored(); n != 1 {
		t.Errorf("%d copies of one package", n)
	}
	for _, name := range []string{"a", "b"} {
		if _, err := c.DeleteFunction(t.Context(), &sdk.DeleteFunctionInput{FunctionName: aws.String(name)}); err != nil {
			t.Fatal(err)
		}
	}
	c.create(t, creation("c", other))
	if n := stored(); n != 1 {
		t.Errorf("%d copies of packages, one is used", n)
	}
	c.create(t, creation("d", one))
	if n := stored(); n != 2 {
		t.Errorf("%d copies of packages, two are used", n)
	}
	c.active(t, "c")
	if out, err := c.invoke(t, "c", `{}`); err != nil || !strings.Contains(string(out.Payload), "exit status 2") {
		t.Errorf("code that is used: %s, %v", out.Payload, err)
	}
}
