//go:build !linux

package machine

// DiskOf isn't told here.
func (m Machine) DiskOf(path string) (Disk, error) {
	if _, err := existing(path); err != nil {
		return Disk{}, err
	}
	return Disk{}, ErrUnknown
}
