import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;

/** Posts files with the defaults of Java's client, which asks for HTTP/2 by `Upgrade: h2c`: address, token, path, file, ... */
public class Client {
    public static void main(String[] given) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int at = 2; at < given.length; at += 2) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(given[0] + given[at]))
                .header("Content-Type", "application/json")
                .header("Authorization", "Bearer " + given[1])
                .POST(HttpRequest.BodyPublishers.ofString(Files.readString(Path.of(given[at + 1]))))
                .build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
