package main

import (
	"runtime"
	"runtime/debug"
)

// version is set by the release build.
var version string

type versionCmd struct{}

// Run prints the version of the program and of what it was built with.
func (versionCmd) Run(e *env) error { //nolint:unparam // kong wants an error
	e.printf("hashlease %s %s %s/%s\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// programVersion is the release's version, or what the Go command knows of the build.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
