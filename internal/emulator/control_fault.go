package emulator

import (
	"net/http"
	"strconv"
	"strings"
)

// invalid refuses values that break the API's model, all at once.
func invalid(complaints []string) *fault {
	noun := " validation error"
	if len(complaints) > 1 {
		noun = " validation errors"
	}
	return &fault{http.StatusBadRequest, "ValidationException", map[string]string{
		"message": strconv.Itoa(len(complaints)) + noun + " detected: " + strings.Join(complaints, "; "),
	}}
}

func badZip() *fault {
	return badParameter("Could not unzip uploaded file. Please check your file, then try to upload again.")
}

func unzippedTooLarge() *fault {
	return badParameter("Unzipped size must be smaller than %d bytes", maxUnzipped)
}

func codeStorageExceeded() *fault {
	return refuse(http.StatusBadRequest, "CodeStorageExceededException", "Code storage limit exceeded.")
}

func requestTooLarge(message string) *fault {
	return refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "%s", message)
}

func functionExists(name string) *fault {
	return conflict("Function already exist: " + name)
}

const notNow = "The operation cannot be performed at this time. "

func pendingFunction() *fault {
	return conflict(notNow + "The function is currently in the following state: Pending")
}

func updateInProgress(name string) *fault {
	return conflict(notNow + "An update is in progress for resource: " + functionARN(name))
}

func conflict(message string) *fault {
	return refuse(http.StatusConflict, "ResourceConflictException", "%s", message)
}

func otherRevision() *fault {
	return refuse(http.StatusPreconditionFailed, "PreconditionFailedException",
		"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
}
