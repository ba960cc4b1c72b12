package emulator

import (
	"net/http"
	"regexp"
)

// perTenant is the one mode of tenant isolation: an instance serves one tenant.
const perTenant = "PER_TENANT"

var tenantID = regexp.MustCompile(`^[a-zA-Z0-9._:/=+\-@ ]{1,256}$`)

// tenantOf takes the tenant out of an invocation, which must name one if the
// function isolates tenants, and none if it does not.
func tenantOf(r *http.Request, isolated bool) (string, *fault) {
	id := r.Header.Get("X-Amz-Tenant-Id")
	switch {
	case !isolated && id != "":
		return "", badParameter("The invoked function is not enabled with tenancy configuration. Remove the tenant ID and try again.")
	case isolated && id == "":
		return "", badParameter("The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.")
	case isolated && !tenantID.MatchString(id):
		return "", badParameter("The tenant ID must have 1 to 256 letters, digits, spaces and characters of ._:/=+-@")
	}
	return id, nil
}
