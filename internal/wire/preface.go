package wire

import "strconv"

// Version is the protocol version that this package speaks.
const Version = 1

// PrefaceSize is how many bytes each side sends before its first frame.
const PrefaceSize = 8

// Role is what the dialling side of a link is.
type Role uint8

const (
	RoleClient Role = 1
	RoleNode   Role = 2
	RoleProxy  Role = 3 // in the answer to a preface
)

// String is the role's name.
func (r Role) String() string {
	switch r {
	case RoleClient:
		return "client"
	case RoleNode:
		return "node"
	case RoleProxy:
		return "proxy"
	}
	return "role " + strconv.Itoa(int(r))
}

// Preface is "ICW" and NUL, the version, the role, and two zero bytes. The
// dialling side sends its own at once; the accepting side answers with one of
// role proxy, or with one that names its version, and closes, if it cannot
// speak the dialler's.
func Preface(role Role) [PrefaceSize]byte {
	return [PrefaceSize]byte{'I', 'C', 'W', 0, Version, byte(role), 0, 0}
}

// ParsePreface checks a preface of the other side. The error matches
// ErrProtocol if this is another protocol and ErrVersion if it is another
// version of this one.
func ParsePreface(b [PrefaceSize]byte) (Role, error) {
	if [4]byte(b[:4]) != [4]byte{'I', 'C', 'W', 0} {
		return 0, Errorf(CodeProtocol, "the other side does not speak the cache's protocol (it began with %q)", b[:4])
	}
	if b[4] != Version {
		return 0, Errorf(CodeVersion, "the other side speaks protocol version %d, this one speaks %d", b[4], Version)
	}
	role := Role(b[5])
	if role < RoleClient || role > RoleProxy || b[6] != 0 || b[7] != 0 {
		return 0, Errorf(CodeProtocol, "preface has role %d and reserved bytes %d %d", b[5], b[6], b[7])
	}
	return role, nil
}
