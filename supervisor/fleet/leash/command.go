package leash

// Command is the hidden command of procman that is a leash.
const Command = "leash"
