// JGit: Git in Java.

import java.io.File;
import org.eclipse.jgit.api.CloneCommand;
import org.eclipse.jgit.api.Git;
import org.eclipse.jgit.transport.CredentialsProvider;
import org.eclipse.jgit.transport.TagOpt;
import org.eclipse.jgit.transport.UsernamePasswordCredentialsProvider;

/** The commands of README.md, without those that JGit 4 lacks: it cannot go shallow. */
public class Client {
    private static CredentialsProvider credentials() {
        return new UsernamePasswordCredentialsProvider("x", System.getenv("COLOPHON_TOKEN"));
    }

    private static Git clone(String url, String path) throws Exception {
        CloneCommand command = Git.cloneRepository().setURI(url).setDirectory(new File(path));
        return command.setCredentialsProvider(credentials()).call();
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "clone":
                clone(args[1], args[2]).close();
                break;
            case "fetch":
                try (Git git = Git.open(new File(args[1]))) {
                    git.fetch()
                            .setCredentialsProvider(credentials())
                            .setTagOpt(TagOpt.FETCH_TAGS)
                            .call();
                }
                break;
            case "tag":
                try (Git git = clone(args[1], args[2])) {
                    git.checkout().setName(args[3]).call();
                }
                break;
            case "ls":
                Git.lsRemoteRepository()
                        .setRemote(args[1])
                        .setHeads(true)
                        .setCredentialsProvider(credentials())
                        .call()
                        .forEach(r -> System.out.println(r.getObjectId().name() + " " + r.getName()));
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
    }
}
