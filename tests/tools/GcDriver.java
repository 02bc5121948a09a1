// SPDX-License-Identifier: MIT
import java.io.*;

/** For every line "N" it is given N garbage collections. */
public class GcDriver {
	public static void main(String[] args) throws IOException {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));

		System.out.println("ready");
		for (String line; (line = in.readLine()) != null;) {
			for (int i = Integer.parseInt(line); i > 0; i--)
				System.gc();
			System.out.println("done");
		}
	}
}
