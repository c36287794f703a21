// Package storetest is the contract of a fleet's store, as tests. Every store passes the same ones.
package storetest
