package emulator

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
)

// Limits of a function's code, in bytes and in files.
const (
	maxZip      = 50 << 20
	maxUnzipped = 250 << 20
	maxFiles    = 10_000
	// maxStored is how much unzipped code the platform keeps; what no function
	// has any more goes first.
	maxStored = 4 << 30
)

const (
	archX86 = "x86_64"
	archARM = "arm64"

	bootstrap = "bootstrap"
	// noBootstrap is what the real service says.
	noBootstrap = "Couldn't find valid bootstrap(s)"
	taskRoot    = "/var/task" // what the real service calls the code's directory
)

// machines are what executables say that run on an architecture.
var machines = map[string]elf.Machine{archX86: elf.EM_X86_64, archARM: elf.EM_AARCH64}

// hostArchitecture is what functions that Config describes are said to be for.
func hostArchitecture() string {
	if runtime.GOARCH == "arm64" {
		return archARM
	}
	return archX86
}

// code is a deployment package: an unzipped one, which functions share if it is
// the same to the byte, or the executable of Config.
type code struct {
	binary string // the executable's path
	dir    string // where it was unzipped to; empty for Config's
	size   int64  // of the package
	stored int64  // of what is in dir
	sha256 func() string

	ready   chan struct{} // closed when the two below are set; nil for Config's
	machine elf.Machine   // 0 if the executable does not say
	err     error         // why it cannot be used

	holders int // calls that have it in hand; Emulator.mu guards it
}

// executableCode is the code of functions that Config describes. Its hash is the
// executable's own, since there is no package.
func executableCode(path string) *code {
	c := &code{binary: path, sha256: sync.OnceValue(func() string {
		f, err := os.Open(path)
		if err != nil {
			return base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))
		}
		defer f.Close()
		h := sha256.New()
		_, _ = io.Copy(h, f)
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	})}
	if st, err := os.Stat(path); err == nil {
		c.size = st.Size()
	}
	return c
}

func (c *code) builtin() bool { return c.dir == "" }

// root is where the function's files are, and where it starts.
func (c *code) root(inst *instance) string {
	if c.builtin() {
		return inst.dir
	}
	return c.dir
}

// called is the executable's path as the real service calls it.
func (c *code) called() string {
	if c.builtin() {
		return c.binary
	}
	return taskRoot + "/" + bootstrap
}

// runnable tells why the code does not run on an architecture, as far as this
// machine's kernel would not.
func (c *code) runnable(architecture string) error {
	if _, err := os.Stat(c.binary); errors.Is(err, fs.ErrNotExist) && !c.builtin() {
		return fmt.Errorf("%s: [%s /opt/bootstrap]", noBootstrap, c.called())
	}
	if c.machine != 0 && c.machine != machines[architecture] {
		return fmt.Errorf("fork/exec %s: %w", c.called(), syscall.ENOEXEC)
	}
	return nil
}

// store returns the code that a zip holds, unzipped unless it is there already.
// The caller gives it back with letGo when a function has it, or none will.
func (e *Emulator) store(zipped []byte) (*code, *fault) {
	if len(zipped) > maxZip {
		return nil, requestTooLarge(fmt.Sprintf("Zipped size must be smaller than %d bytes", maxZip))
	}
	archive, size, f := readArchive(zipped)
	if f != nil {
		return nil, f
	}
	sum := sha256.Sum256(zipped)
	e.mu.Lock()
	c := e.codes[sum]
	fresh := c == nil
	var unused []*code
	if fresh {
		unused = e.unused()
		if e.storedCode()+size > maxStored {
			e.mu.Unlock()
			e.drop(unused)
			return nil, codeStorageExceeded()
		}
		dir := filepath.Join(e.dir, "code", newID())
		text := base64.StdEncoding.EncodeToString(sum[:])
		c = &code{
			binary: filepath.Join(dir, bootstrap), dir: dir, size: int64(len(zipped)), stored: size,
			sha256: func() string { return text }, ready: make(chan struct{}),
		}
		e.codes[sum] = c
	}
	c.holders++
	e.mu.Unlock()
	e.drop(unused)
	if fresh {
		c.err = unzip(archive, c.dir)
		c.machine = machineOf(c.binary)
		if c.err != nil {
			e.log.Warn("code not unzipped", "error", c.err)
			e.mu.Lock()
			delete(e.codes, sum)
			e.mu.Unlock()
			e.drop([]*code{c})
		}
		close(c.ready)
	}
	<-c.ready
	if c.err != nil {
		e.letGo(c)
		for _, lack := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.EIO} {
			if errors.Is(c.err, lack) {
				return nil, serviceFailed(http.StatusInternalServerError, c.err)
			}
		}
		return nil, badZip()
	}
	return c, nil
}

// letGo ends what store began.
func (e *Emulator) letGo(c *code) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.holders--
}

// unused takes out of the stored code what neither a function nor an instance
// has, and no call in hand. The caller holds e.mu and hands it to drop.
func (e *Emulator) unused() []*code {
	used := map[*code]bool{}
	for _, fn := range e.functions {
		used[fn.def.code], used[fn.latest().code] = true, true
		for _, inst := range fn.instances {
			used[inst.def.code] = true
		}
	}
	var all []*code
	for sum, c := range e.codes {
		if !used[c] && c.holders == 0 {
			delete(e.codes, sum)
			all = append(all, c)
		}
	}
	return all
}

func (e *Emulator) storedCode() (n int64) {
	for _, c := range e.codes {
		n += c.stored
	}
	return n
}

func (e *Emulator) drop(all []*code) {
	for _, c := range all {
		if err := os.RemoveAll(c.dir); err != nil {
			e.log.Warn("code not removed", "error", err)
		}
	}
}

// readArchive checks all of a zip that can be told without unzipping, and how
// large it says that it is unzipped.
func readArchive(zipped []byte) (*zip.Reader, int64, *fault) {
	archive, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil || len(archive.File) == 0 || len(archive.File) > maxFiles {
		return nil, 0, badZip()
	}
	var size uint64
	for _, f := range archive.File {
		kind := f.Mode().Type()
		if !filepath.IsLocal(f.Name) || kind != 0 && kind != fs.ModeDir {
			return nil, 0, badZip()
		}
		// Neither summand is near overflow: each is checked before it is added.
		if f.UncompressedSize64 > maxUnzipped {
			return nil, 0, unzippedTooLarge()
		}
		size += f.UncompressedSize64
	}
	if size > maxUnzipped {
		return nil, 0, unzippedTooLarge()
	}
	return archive, int64(size), nil
}

// unzip writes an archive that readArchive found good. It never writes more than
// the archive said.
func unzip(archive *zip.Reader, dir string) error {
	for _, f := range archive.File {
		path := filepath.Join(dir, f.Name)
		if f.Mode().IsDir() {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := extract(f, path); err != nil {
			return fmt.Errorf("unzip %s: %w", f.Name, err)
		}
	}
	return nil
}

// extract writes one file with the permissions that it has in the archive.
func extract(f *zip.File, path string) (err error) {
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode().Perm()|0o400)
	if err != nil {
		return err
	}
	size := int64(f.UncompressedSize64) // at most maxUnzipped
	n, err := io.Copy(to, io.LimitReader(from, size+1))
	if n > size {
		err = errors.New("larger than the archive says")
	}
	return errors.Join(err, to.Close())
}

// machineOf reads which machine an executable is for; 0 if it is not an ELF
// file.
func machineOf(path string) elf.Machine {
	f, err := elf.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	return f.Machine
}
