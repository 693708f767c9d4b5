// An SFTP server: Go's pkg/sftp over a folder. Arguments: port, folder, user, host key, authorised key.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

func main() {
	port, folder, user := os.Args[1], os.Args[2], os.Args[3]
	hostKey, err := ssh.ParsePrivateKey(read(os.Args[4]))
	check(err)
	authorized, _, _, _, err := ssh.ParseAuthorizedKey(read(os.Args[5]))
	check(err)
	// The library knows no other way to say where relative paths begin.
	check(os.Chdir(folder))
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(connection ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if connection.User() == user && bytes.Equal(key.Marshal(), authorized.Marshal()) {
				return nil, nil
			}
			return nil, errors.New("unknown user or key")
		},
	}
	config.AddHostKey(hostKey)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	check(err)
	for {
		connection, err := listener.Accept()
		check(err)
		go serve(connection, config)
	}
}

func serve(connection net.Conn, config *ssh.ServerConfig) {
	defer connection.Close()
	_, channels, requests, err := ssh.NewServerConn(connection, config)
	if err != nil {
		log.Print(err)
		return
	}
	go ssh.DiscardRequests(requests)
	for asked := range channels {
		if asked.ChannelType() != "session" {
			_ = asked.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, requests, err := asked.Accept()
		if err != nil {
			log.Print(err)
			return
		}
		go answer(requests)
		go func() {
			defer channel.Close()
			server, err := sftp.NewServer(channel)
			check(err)
			if err := server.Serve(); err != nil && err != io.EOF {
				log.Print(err)
			}
		}()
	}
}

// Allows nothing but the subsystem.
func answer(requests <-chan *ssh.Request) {
	for request := range requests {
		isSftp := request.Type == "subsystem" && len(request.Payload) > 4 && string(request.Payload[4:]) == "sftp"
		_ = request.Reply(isSftp, nil)
	}
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	check(err)
	return content
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
