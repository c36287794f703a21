package daemon

import "runtime/debug"

// Version is what is known of how this program was built.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of its source; empty if it was built without
	Modified bool   `json:"modified"` // the source was changed after the revision
	Go       string `json:"go"`
}

// VersionOf reads a debug.ReadBuildInfo.
func VersionOf(build *debug.BuildInfo, known bool) Version {
	if !known {
		return Version{Version: "unknown"}
	}
	v := Version{Version: build.Main.Version, Go: build.GoVersion}
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

func (v Version) String() string {
	s := v.Version
	if v.Revision != "" {
		s += " " + v.Revision[:min(12, len(v.Revision))]
		if v.Modified {
			s += "+changes"
		}
	}
	return s
}
