package main

import "runtime/debug"

// version is what is known of how this program was built.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of its source; empty if it was built without
	Modified bool   `json:"modified"` // the source was changed after the revision
	Go       string `json:"go"`
}

// versionOf reads a debug.ReadBuildInfo.
func versionOf(build *debug.BuildInfo, known bool) version {
	if !known {
		return version{Version: "unknown"}
	}
	v := version{Version: build.Main.Version, Go: build.GoVersion}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	s := v.Version
	if v.Revision != "" {
		s += " " + v.Revision[:min(12, len(v.Revision))]
		if v.Modified {
			s += "+changes"
		}
	}
	return s
}
