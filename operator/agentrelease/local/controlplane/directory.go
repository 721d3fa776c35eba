package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// stateFile marks a directory as ours.
const stateFile = "controlplane.json"

// claimDirectory makes dir, or takes over one that is empty or an earlier control plane's. Any other
// is refused, since what serves from a directory removes it at the end.
func claimDirectory(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "agentrelease-controlplane-")
		if err != nil {
			return "", err
		}
		dir = made
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := checkOurs(dir); err != nil {
		return "", err
	}
	if err := lock(dir); err != nil {
		return "", err
	}
	if err := markIdle(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(filepath.Join(dir, "pki"), 0o700)
}

// vacate removes the directory, or leaves it for another start.
func vacate(dir string, keep bool) {
	if keep {
		_ = markIdle(dir)
	} else {
		_ = os.RemoveAll(dir)
	}
}

// markIdle says that the directory is ours and that nothing serves from it (yet, any more).
func markIdle(dir string) error {
	return os.WriteFile(filepath.Join(dir, stateFile), []byte("{}"), 0o644)
}

func checkOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("%s is neither empty nor a control plane's directory", dir)
	}
	return nil
}

// lock is held until the process ends.
func lock(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s: another control plane serves from it", dir)
	}
	heldLock = file
	return nil
}

// heldLock keeps the file from being closed by its finalizer.
var heldLock *os.File
