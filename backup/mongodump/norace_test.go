//go:build !race

package mongodump

const raceDetector = false
